# Checks a bundle of the agent against a fingerprint of the organisation, with what Windows PowerShell 5.1 has. Installs nothing.
# The fingerprint is of the newest root that you were told: who knows only a former root's cannot see that it was replaced.
# Exit statuses: 0 it is what the organisation signed, 2 wrong use, 5 it is not, 6 the file is missing.
# Texts are compared by -ceq and -cne alone: PowerShell's -eq takes A for a.
[CmdletBinding(PositionalBinding = $false)]
param(
    [Parameter(Position = 0)][string]$BundlePath = '',
    [Parameter(Position = 1)][string]$KnownFingerprint = ''
)

# install.ps1 takes in what stands from here
function Deny-Bundle([string]$Why) {
    throw (New-Object System.IO.InvalidDataException "not what the organisation signed: $Why. Do not install it. (E_RELEASE_SIGNATURE)")
}

function Get-Slice([byte[]]$Bytes, [int]$From, [int]$To) {
    if ($From -lt 0 -or $To -lt $From -or $To -gt $Bytes.Length) { Deny-Bundle 'a part of it is cut' }
    $slice = New-Object byte[] ($To - $From)
    [Array]::Copy($Bytes, $From, $slice, 0, $To - $From)
    return , $slice
}

function Get-Hex([byte[]]$Bytes) {
    return [BitConverter]::ToString($Bytes).Replace('-', '').ToLowerInvariant()
}

function Get-Sha256([byte[]]$Bytes) {
    $sha = New-Object System.Security.Cryptography.SHA256CryptoServiceProvider
    return , $sha.ComputeHash($Bytes)
}

function Get-Ascii([byte[]]$Bytes) {
    return [System.Text.Encoding]::ASCII.GetString($Bytes)
}

function Get-FromBase64([string]$Text) {
    return , [Convert]::FromBase64String($Text)
}

# The archive: ustar, as `alongside release create` writes it. Names are looked up and never become a path.

function Read-Block([System.IO.Stream]$Stream, [long]$Offset, [int]$Count) {
    $block = New-Object byte[] $Count
    [void]$Stream.Seek($Offset, [System.IO.SeekOrigin]::Begin)
    $have = 0
    while ($have -lt $Count) {
        $got = $Stream.Read($block, $have, $Count - $have)
        if ($got -lt 1) { Deny-Bundle 'it is cut' }
        $have = $have + $got
    }
    return , $block
}

function Read-Members([System.IO.Stream]$Stream) {
    $members = New-Object System.Collections.Hashtable ([StringComparer]::Ordinal)
    $offset = [long]0
    while ($offset + 512 -le $Stream.Length) {
        $header = Read-Block $Stream $offset 512
        $name = (Get-Ascii (Get-Slice $header 0 100)).TrimEnd([char]0)
        if ($name.Length -lt 1) { break }
        $digits = (Get-Ascii (Get-Slice $header 124 135)).Trim([char]32, [char]0)
        if (-not [regex]::Match($digits, '\A[0-7]{1,11}\z').Success) { Deny-Bundle 'a length cannot be read' }
        $length = [Convert]::ToInt64($digits, 8)
        $start = $offset + 512
        if ($start + $length -gt $Stream.Length) { Deny-Bundle 'it is cut' }
        if ($members.Count -ge 1000 -or $members.ContainsKey($name)) { Deny-Bundle 'a name stands there twice' }
        $isPlain = $header[156] -ceq 48 -and $header[345] -ceq 0
        $members.Add($name, @{ Start = $start; Length = $length; IsPlain = $isPlain })
        $offset = $start + $length + (512 - $length % 512) % 512
    }
    return $members
}

function Find-Member([hashtable]$Members, [string]$Name, [long]$Limit) {
    if (-not $Members.ContainsKey($Name)) { Deny-Bundle "$Name is missing" }
    $member = $Members[$Name]
    if (-not $member['IsPlain'] -or $member['Length'] -gt $Limit) { Deny-Bundle "$Name is no plain file" }
    return $member
}

function Read-Member([System.IO.Stream]$Stream, [hashtable]$Members, [string]$Name, [int]$Limit) {
    $member = Find-Member $Members $Name $Limit
    return , (Read-Block $Stream $member['Start'] $member['Length'])
}

# Writes the content to Target, or nowhere; the hash that comes back says whether it was the right one.
function Copy-Member([System.IO.Stream]$Stream, [hashtable]$Member, [System.IO.Stream]$Target) {
    $sha = New-Object System.Security.Cryptography.SHA256CryptoServiceProvider
    $at = [long]$Member['Start']
    $end = $at + $Member['Length']
    while ($at -lt $end) {
        $block = Read-Block $Stream $at ([Math]::Min([long]1048576, $end - $at))
        [void]$sha.TransformBlock($block, 0, $block.Length, $null, 0)
        if ($null -cne $Target) { $Target.Write($block, 0, $block.Length) }
        $at = $at + $block.Length
    }
    [void]$sha.TransformFinalBlock((New-Object byte[] 0), 0, 0)
    return Get-Hex $sha.Hash
}

# Certificates and signatures: DER. The .NET Framework has no reader for it, and nothing says that Windows reads a name with a 128-bit number in it.

# One element that begins at At and ends before Limit: its tag, where its content starts, and where it ends.
function Read-Element([byte[]]$Bytes, [int]$At, [int]$Limit) {
    if ($At -lt 0 -or $At + 2 -gt $Limit -or $Limit -gt $Bytes.Length) { Deny-Bundle 'an element is cut' }
    $length = [int]$Bytes[$At + 1]
    $start = $At + 2
    if ($length -gt 127) {
        $count = $length - 128
        if ($count -lt 1 -or $count -gt 2 -or $start + $count -gt $Limit) { Deny-Bundle 'a length cannot be read' }
        $length = 0
        for ($i = 0; $i -lt $count; $i++) { $length = $length * 256 + [int]$Bytes[$start + $i] }
        $start = $start + $count
    }
    if ($start + $length -gt $Limit) { Deny-Bundle 'an element is cut' }
    return @{ Tag = [int]$Bytes[$At]; At = $At; Start = $start; End = $start + $length }
}

# The elements inside of one, in their order.
function Read-Elements([byte[]]$Bytes, [hashtable]$Outer, [int]$Tag) {
    if ($Outer['Tag'] -cne $Tag) { Deny-Bundle 'an element is another one' }
    $found = New-Object System.Collections.ArrayList
    $at = $Outer['Start']
    while ($at -lt $Outer['End']) {
        $element = Read-Element $Bytes $at $Outer['End']
        [void]$found.Add($element)
        $at = $element['End']
    }
    return , $found
}

# A signature's two numbers, 32 bytes each, as Windows wants them; DER has them as signed numbers of any length.
function Get-FlatSignature([byte[]]$Signature) {
    $outer = Read-Element $Signature 0 $Signature.Length
    $numbers = Read-Elements $Signature $outer 48
    if ($outer['End'] -cne $Signature.Length -or $numbers.Count -cne 2) { Deny-Bundle 'a signature cannot be read' }
    $flat = New-Object byte[] 64
    for ($i = 0; $i -lt 2; $i++) {
        $number = $numbers[$i]
        $from = $number['Start']
        while ($from -lt $number['End'] -and $Signature[$from] -ceq 0) { $from = $from + 1 }
        $count = $number['End'] - $from
        if ($number['Tag'] -cne 2 -or $count -lt 1 -or $count -gt 32) { Deny-Bundle 'a signature cannot be read' }
        [Array]::Copy($Signature, $from, $flat, 32 * ($i + 1) - $count, $count)
    }
    return , $flat
}

# Whether the key (SubjectPublicKeyInfo of a P-256 key, nothing else) signed these bytes with SHA-256.
function Test-Signature([byte[]]$Spki, [byte[]]$Signature, [byte[]]$Signed) {
    $head = '3059301306072a8648ce3d020106082a8648ce3d03010703420004'
    if ($Spki.Length -cne 91 -or (Get-Hex (Get-Slice $Spki 0 27)) -cne $head) { Deny-Bundle 'a key is of another kind' }
    # BCRYPT_ECDSA_PUBLIC_P256_MAGIC and the length of a coordinate, then X and Y
    $blob = New-Object byte[] 72
    [Array]::Copy([byte[]](69, 67, 83, 49, 32, 0, 0, 0), 0, $blob, 0, 8)
    [Array]::Copy($Spki, 27, $blob, 8, 64)
    $key = [System.Security.Cryptography.CngKey]::Import($blob, [System.Security.Cryptography.CngKeyBlobFormat]::EccPublicBlob)
    $ecdsa = New-Object System.Security.Cryptography.ECDsaCng $key
    return $ecdsa.VerifyHash((Get-Sha256 $Signed), (Get-FlatSignature $Signature))
}

# DSSE's encoding of what is signed.
function Get-SignedBytes([string]$Type, [byte[]]$Payload) {
    $head = [System.Text.Encoding]::ASCII.GetBytes("DSSEv1 $($Type.Length) $Type $($Payload.Length) ")
    $signed = New-Object byte[] ($head.Length + $Payload.Length)
    [Array]::Copy($head, 0, $signed, 0, $head.Length)
    [Array]::Copy($Payload, 0, $signed, $head.Length, $Payload.Length)
    return , $signed
}

# The terms that a root carries: one UTF-8 text in the extension of that name; '' where there is none.
function Get-RootTerms([byte[]]$Der, [hashtable]$Wrapped) {
    # 2.25.142874882199306785095044604726865728362.2.3
    $name = '06166981d6fcd9e3cfb48286c385d1dff4d5a6faa66a0203'
    $terms = ''
    $list = Read-Elements $Der $Wrapped 163
    if ($list.Count -cne 1) { Deny-Bundle 'a root cannot be read' }
    foreach ($extension in (Read-Elements $Der $list[0] 48)) {
        $parts = Read-Elements $Der $extension 48
        if ($parts.Count -lt 2) { Deny-Bundle 'a root cannot be read' }
        if ((Get-Hex (Get-Slice $Der $parts[0]['At'] $parts[0]['End'])) -cne $name) { continue }
        $value = $parts[$parts.Count - 1]
        $text = Read-Element $Der $value['Start'] $value['End']
        if ($terms -cne '' -or $value['Tag'] -cne 4 -or $text['Tag'] -cne 12 -or $text['End'] -cne $value['End']) {
            Deny-Bundle 'a root cannot be read'
        }
        $terms = Get-Ascii (Get-Slice $Der $text['Start'] $text['End'])
    }
    return $terms
}

# A root that signed itself. Whose key it is comes from the fingerprint or from a step.
function Read-Root([byte[]]$Der) {
    $outer = Read-Element $Der 0 $Der.Length
    $parts = Read-Elements $Der $outer 48
    if ($outer['End'] -cne $Der.Length -or $parts.Count -cne 3) { Deny-Bundle 'a root cannot be read' }
    $fields = Read-Elements $Der $parts[0] 48
    # version, serial number, algorithm, issuer, validity, subject, key, extensions
    if ($fields.Count -cne 8 -or $fields[0]['Tag'] -cne 160) { Deny-Bundle 'a root cannot be read' }
    foreach ($algorithm in @($fields[2], $parts[1])) {
        # ecdsa-with-SHA256
        if ((Get-Hex (Get-Slice $Der $algorithm['At'] $algorithm['End'])) -cne '300a06082a8648ce3d040302') { Deny-Bundle 'a root is signed in another way' }
    }
    $spki = Get-Slice $Der $fields[6]['At'] $fields[6]['End']
    if ($parts[2]['Tag'] -cne 3 -or $parts[2]['End'] - $parts[2]['Start'] -lt 1 -or $Der[$parts[2]['Start']] -cne 0) { Deny-Bundle 'a root cannot be read' }
    $signature = Get-Slice $Der ($parts[2]['Start'] + 1) $parts[2]['End']
    if (-not (Test-Signature $spki $signature (Get-Slice $Der $parts[0]['At'] $parts[0]['End']))) { Deny-Bundle 'a root did not sign itself' }
    return @{ Der = $Der; Spki = $spki; Fingerprint = Get-Hex (Get-Sha256 $spki); Terms = Get-RootTerms $Der $fields[7] }
}

# From one root to the next, signed by the kit that the first one names.
function Get-NextRoot([hashtable]$Root, [string]$Envelope, [int]$Generation, [string]$Organisation) {
    $base64 = '[A-Za-z0-9+/]+={0,2}'
    $type = 'application/vnd.alongside.successor+json'
    $form = '\A\{"payload":"(' + $base64 + ')","payloadType":"application/vnd\.alongside\.successor\+json","signatures":' +
        '\[\{"keyid":"recovery","sig":"(' + $base64 + ')","key":"(' + $base64 + ')"\}\]\}\z'
    $read = [regex]::Match($Envelope, $form)
    if (-not $read.Success) { Deny-Bundle 'a step between its roots is no such thing' }
    $payload = Get-FromBase64 $read.Groups[1].Value
    $kit = Get-FromBase64 $read.Groups[3].Value
    $named = '"recovery_sha256":"' + (Get-Hex (Get-Sha256 $kit)) + '"'
    if (-not $Root['Terms'].Contains($named)) { Deny-Bundle 'a step between its roots is of another recovery kit' }
    if (-not (Test-Signature $kit (Get-FromBase64 $read.Groups[2].Value) (Get-SignedBytes $type $payload))) { Deny-Bundle 'a step''s signature is wrong' }
    $form = '\A\{"format":"alongside-successor/1","previous":"(' + $base64 + ')","root":"(' + $base64 + ')"\}\z'
    $step = [regex]::Match((Get-Ascii $payload), $form)
    if (-not $step.Success) { Deny-Bundle 'a step between its roots is no such thing' }
    $previous = Get-Hex (Get-Sha256 $Root['Der'])
    if ((Get-Hex (Get-Sha256 (Get-FromBase64 $step.Groups[1].Value))) -cne $previous) { Deny-Bundle 'a step does not start from the root before it' }
    $next = Read-Root (Get-FromBase64 $step.Groups[2].Value)
    $begin = '{"generation":' + $Generation + ',"organisation_id":"' + $Organisation + '","previous_sha256":"' + $previous + '","recovery_sha256":"'
    if (-not $next['Terms'].StartsWith($begin, [StringComparison]::Ordinal)) { Deny-Bundle 'a root does not follow the one before' }
    return $next
}

# From the first root to the newest one; the fingerprint is of one of them.
function Get-NewestRoot([string]$Pem, [string]$Steps, [string]$Fingerprint) {
    $read = [regex]::Match($Pem, '\A-----BEGIN CERTIFICATE-----\r?\n([A-Za-z0-9+/=\r\n]+)-----END CERTIFICATE-----\r?\n?\z')
    if (-not $read.Success) { Deny-Bundle 'no organisation' }
    $root = Read-Root (Get-FromBase64 $read.Groups[1].Value)
    $organisation = $root['Fingerprint']
    # an organisation made before recovery kits has no terms, and no other root
    if ($root['Terms'] -cne '' -and -not $root['Terms'].StartsWith('{"generation":0,"organisation_id":"",', [StringComparison]::Ordinal)) {
        Deny-Bundle 'its first root is none'
    }
    $isKnown = $root['Fingerprint'] -ceq $Fingerprint
    if (-not [regex]::Match($Steps, '\A\[("[A-Za-z0-9+/]+={0,2}"(,"[A-Za-z0-9+/]+={0,2}"){0,3})?\]\z').Success) { Deny-Bundle 'the steps between its roots cannot be read' }
    $generation = 0
    foreach ($step in [regex]::Matches($Steps, '[A-Za-z0-9+/]+={0,2}')) {
        $generation = $generation + 1
        $root = Get-NextRoot $root (Get-Ascii (Get-FromBase64 $step.Value)) $generation $organisation
        if ($root['Fingerprint'] -ceq $Fingerprint) { $isKnown = $true }
    }
    if (-not $isKnown) { Deny-Bundle 'it is another organisation''s, or of before the root was replaced' }
    return @{ Spki = $root['Spki']; Organisation = $organisation }
}

# What the manifest of an open bundle says, after its signature and every file's hash were checked.
function Get-CheckedBundle([System.IO.Stream]$Stream, [string]$Fingerprint) {
    $members = Read-Members $Stream
    $manifest = Read-Member $Stream $members 'release.json' 131072
    $signature = Read-Member $Stream $members 'release.sig' 256
    $pem = Get-Ascii (Read-Member $Stream $members 'organisation.pem' 16384)
    $steps = Get-Ascii (Read-Member $Stream $members 'successors.json' 65536)
    $newest = Get-NewestRoot $pem $steps $Fingerprint
    $signed = Get-SignedBytes 'application/vnd.alongside.release+json' $manifest
    if (-not (Test-Signature $newest['Spki'] $signature $signed)) { Deny-Bundle 'the manifest''s signature is wrong' }
    $text = [System.Text.Encoding]::UTF8.GetString($manifest)
    $release = ConvertFrom-Json $text
    if ($release.organisation_id -cne $newest['Organisation']) { Deny-Bundle 'it names another organisation' }
    $files = New-Object System.Collections.Hashtable ([StringComparer]::Ordinal)
    foreach ($file in $release.files) {
        if (-not [regex]::Match($file.name, '\A[A-Za-z0-9][A-Za-z0-9._+@-]{0,199}\z').Success -or $files.ContainsKey($file.name)) { Deny-Bundle 'its list is odd' }
        $member = Find-Member $members $file.name 268435456
        if ((Copy-Member $Stream $member $null) -cne $file.sha256) { Deny-Bundle "$($file.name) was changed" }
        $files.Add($file.name, $file.sha256)
    }
    if ($files.Count -lt 1) { Deny-Bundle 'its list is empty' }
    return @{ Release = $release; Text = $text; Sha256 = Get-Hex (Get-Sha256 $manifest); Files = $files; Members = $members }
}
# install.ps1 takes in what stands up to here

function Start-Verification([string]$Bundle, [string]$Fingerprint) {
    Set-StrictMode -Version 3
    $ErrorActionPreference = 'Stop'
    if ($Bundle -ceq '' -or -not [regex]::Match($Fingerprint, '\A[0-9a-f]{64}\z').Success) {
        [Console]::Error.WriteLine('Usage: verify.ps1 BUNDLE FINGERPRINT (64 hex digits, of the newest root, see: alongside org show)')
        return 2
    }
    $path = $ExecutionContext.SessionState.Path.GetUnresolvedProviderPathFromPSPath($Bundle)
    if (-not [System.IO.File]::Exists($path)) {
        [Console]::Error.WriteLine("alongside: there is no file $path.")
        return 6
    }
    $stream = [System.IO.File]::OpenRead($path)
    try {
        $checked = Get-CheckedBundle $stream $Fingerprint
    } catch {
        # whatever cannot be read is not what was signed
        [Console]::Error.WriteLine("alongside: $($_.Exception.Message)")
        return 5
    } finally {
        $stream.Dispose()
    }
    [Console]::Out.WriteLine("What the organisation signed: $($checked['Files'].Count) files.")
    return 0
}

# install.ps1 reads this file for the functions alone
if ($MyInvocation.InvocationName -cne '.') { exit (Start-Verification $BundlePath $KnownFingerprint) }
