# Installs, updates and removes the Alongside agent on Windows. Nothing of a release runs before the organisation's signature over it was checked here.
# Exit statuses: 0 done or unchanged, 1 something broke, 2 wrong use, 3 refused (no administrator, too old, busy), 4 the relay does not answer,
# 5 not what the organisation signed, 6 Python, a file or room on the disk is missing, 7 installed, but the device could not join.
#Requires -Version 5.1
#Requires -PSEdition Desktop
[CmdletBinding(PositionalBinding = $false)]
param(
    [string]$Fingerprint = '',
    [string]$Relay = '',
    [string]$Offline = '',
    [string]$TokenFile = '',
    [switch]$NoJoin,
    [string]$AtLeast = '',
    [string]$Proxy = '',
    [string]$ProxyFile = '',
    [switch]$DryRun,
    [switch]$Uninstall,
    [switch]$Purge,
    [switch]$Help,
    [Parameter(ValueFromRemainingArguments = $true)][string[]]$Rest = @()
)

# in a release the functions of these files stand in the place of these lines
. (Join-Path $PSScriptRoot 'verify.ps1')
. (Join-Path $PSScriptRoot 'system.ps1')

function Show-Usage {
    Write-Host @'
Usage: install.ps1 -Fingerprint HEX (-Relay URL | -Offline BUNDLE) [OPTIONS]
       install.ps1 -Uninstall [-Purge]

  -Fingerprint HEX   the organisation's newest, 64 hex digits (alongside org show)
  -Relay URL         where the bundle is taken from, such as https://relay.example
  -Offline BUNDLE    a bundle that is here already (alongside release export)
  -TokenFile FILE    the file with the join token. Without it a console is asked, and shows nothing
  -NoJoin            install only; run this again to join
  -AtLeast VERSION   refuse anything older
  -Proxy URL         the proxy on the way to the relay, for this download and for the agent; without a password in it
  -ProxyFile FILE    the same, read from a file: a password stands in no list of processes
  -DryRun            say what would be done, and do nothing
  -Uninstall         remove the agent; its identity and history stay
  -Purge             with -Uninstall: leave the organisation, and remove those too
'@
}

function Write-Step([string]$Text) { Write-Host "alongside: $Text" }

# Ends the installation with this exit status.
function Stop-Installation([int]$Status, [string]$Text) {
    $ending = New-Object System.OperationCanceledException $Text
    $ending.Data['Status'] = $Status
    throw $ending
}

# Does it, or says it in a dry run.
function Invoke-Step([string]$Text, [scriptblock]$Step) {
    if ($script:Run.DryRun) { Write-Step "would $Text" } else { [void](& $Step) }
}

# Something is different from here on; a run that is cut short after this is finished by the next one.
function Set-Changed {
    $script:Run.Changed = $true
    if ($script:Run.DryRun) { return }
    [void][System.IO.Directory]::CreateDirectory($script:Run.Prefix)
    [System.IO.File]::WriteAllBytes($script:Run.Pending, (New-Object byte[] 0))
}

# A program of an absolute path; what it says is shown. Nothing secret stands in its words.
function Invoke-Program([string]$Program, [string[]]$Words) {
    & $Program $Words | Out-Host
    return $LASTEXITCODE
}

function Test-Administrator {
    $me = New-Object System.Security.Principal.WindowsPrincipal ([System.Security.Principal.WindowsIdentity]::GetCurrent())
    return $me.IsInRole([System.Security.Principal.WindowsBuiltInRole]::Administrator)
}

# Places come from Windows and never from the environment, which whoever started this may have changed.
function Initialize-Run {
    $programs = [Environment]::GetFolderPath('ProgramFiles')
    $prefix = Join-Path $programs 'Alongside'
    $software = 'HKLM:\SOFTWARE\Microsoft\Windows\CurrentVersion'
    $script:Run = @{
        DryRun = [bool]$DryRun; Changed = $false; Switched = $false; Stream = $null; Lock = $null; Checked = $null
        Programs = $programs; Prefix = $prefix; Versions = Join-Path $prefix 'versions'; Pending = Join-Path $prefix '.pending'; Work = ''
        State = Join-Path ([Environment]::GetFolderPath('CommonApplicationData')) 'AlongsideAgent'
        Service = 'AlongsideAgent'; Account = 'NT SERVICE\AlongsideAgent'; Pipe = '\\.\pipe\AlongsideAgent'
        Logon = "$software\Run"; LogonName = 'AlongsideAgentDesktop'; Listed = "$software\Uninstall\AlongsideAgent"
        Shell = Join-Path ([Environment]::SystemDirectory) 'WindowsPowerShell\v1.0\powershell.exe'
        Control = Join-Path ([Environment]::SystemDirectory) 'sc.exe'
        Script = $PSCommandPath; Proxy = $Proxy; Version = ''; Name = ''; Here = ''; Python = ''
    }
    # modules and Python's settings of the person who started this are no part of it
    $env:PSModulePath = Join-Path $PSHOME 'Modules'
    Get-ChildItem Env: | Where-Object { $_.Name.StartsWith('PYTHON', [StringComparison]::OrdinalIgnoreCase) } | ForEach-Object { Remove-Item -LiteralPath "Env:$($_.Name)" }
}

function Assert-Surroundings {
    if ([Environment]::Is64BitOperatingSystem -and -not [Environment]::Is64BitProcess) {
        Stop-Installation 2 'this is the 32-bit PowerShell. Run it with %SystemRoot%\sysnative\WindowsPowerShell\v1.0\powershell.exe'
    }
    if (-not $DryRun -and -not (Test-Administrator)) { Stop-Installation 3 'this needs an administrator. Run it in a PowerShell that was started as administrator.' }
}

function Assert-Options {
    $address = '\Ahttps?://([A-Za-z0-9._-]+|\[[0-9a-fA-F:.]+\])(:[0-9]{1,5})?\z'
    if ($Rest.Count -gt 0) { Stop-Installation 2 "$($Rest[0]) is not known; see -Help." }
    if ($Uninstall) { return }
    if ($Purge) { Stop-Installation 2 '-Purge goes with -Uninstall.' }
    if (-not [regex]::IsMatch($Fingerprint, '\A[0-9a-f]{64}\z')) { Stop-Installation 2 '-Fingerprint needs 64 hex digits; an administrator sees them with: alongside org show' }
    if (($Relay -ceq '') -eq ($Offline -ceq '')) { Stop-Installation 2 'give -Relay URL or -Offline BUNDLE.' }
    if ($Relay -cne '' -and -not [regex]::IsMatch($Relay.TrimEnd('/'), $address)) {
        Stop-Installation 2 '-Relay needs an address such as https://relay.example; an IPv6 address needs brackets, as in https://[2001:db8::1]:8470'
    }
    if ($Proxy -cne '' -and $ProxyFile -cne '') { Stop-Installation 2 'give -Proxy or -ProxyFile, not both.' }
    if ($Proxy.Contains('@')) { Stop-Installation 2 'every user could read the password on the command line; use -ProxyFile.' }
    if ($ProxyFile -cne '') {
        if (-not (Test-Path -LiteralPath $ProxyFile -PathType Leaf)) { Stop-Installation 2 "the file $ProxyFile cannot be read." }
        $script:Run.Proxy = [string](Get-Content -LiteralPath $ProxyFile -TotalCount 1)
        if ($script:Run.Proxy -ceq '') { Stop-Installation 2 "the file $ProxyFile is empty." }
    }
    if ($script:Run.Proxy -cne '' -and -not [regex]::IsMatch($script:Run.Proxy, '\Ahttps?://([^\s"\\@/]+@)?([A-Za-z0-9._-]+|\[[0-9a-fA-F:.]+\])(:[0-9]{1,5})?/?\z')) {
        Stop-Installation 2 'the proxy needs an address such as http://proxy.example:3128'
    }
    if ($AtLeast -cne '' -and -not [regex]::IsMatch($AtLeast, '\A[0-9]{1,6}(\.[0-9]{1,6}){2}\z')) { Stop-Installation 2 '-AtLeast needs a version such as 1.2.3' }
}

# One installation at a time. Only administrators write below Program Files, and the lock is free when this process ends.
function Lock-Installation {
    [void][System.IO.Directory]::CreateDirectory($script:Run.Prefix)
    try {
        $script:Run.Lock = [System.IO.File]::Open((Join-Path $script:Run.Prefix '.lock'), 'OpenOrCreate', 'ReadWrite', 'None')
    } catch [System.IO.IOException] {
        Stop-Installation 3 'another installation is running. Wait for it, then run this again.'
    }
    foreach ($each in [System.IO.Directory]::GetDirectories($script:Run.Prefix, '.work-*')) { [System.IO.Directory]::Delete($each, $true) }
}

function New-WorkFolder {
    $name = [guid]::NewGuid().ToString('N')
    $script:Run.Work = if ($script:Run.DryRun) { Join-Path ([System.IO.Path]::GetTempPath()) "alongside-$name" } else { Join-Path $script:Run.Prefix ".work-$name" }
    [void][System.IO.Directory]::CreateDirectory($script:Run.Work)
}

function Remove-WorkFolder {
    if ($null -ne $script:Run.Stream) { $script:Run.Stream.Dispose() }
    if ($script:Run.Work -cne '' -and [System.IO.Directory]::Exists($script:Run.Work)) { [System.IO.Directory]::Delete($script:Run.Work, $true) }
    if ($null -ne $script:Run.Lock) { $script:Run.Lock.Dispose() }
}

function Get-Machine {
    # the system's own name for it, as wheels have it
    return [Environment]::GetEnvironmentVariable('PROCESSOR_ARCHITECTURE', 'Machine').ToLowerInvariant()
}

function Copy-Limited([System.IO.Stream]$From, [string]$Path) {
    $block = New-Object byte[] 1048576
    $left = [long]536870912
    $target = [System.IO.File]::Open($Path, 'CreateNew', 'Write', 'None')
    try {
        while (($got = $From.Read($block, 0, $block.Length)) -gt 0) {
            $left -= $got
            if ($left -lt 0) { Stop-Installation 5 'the bundle is far too large. (E_RELEASE_FORMAT)' }
            $target.Write($block, 0, $got)
        }
    } finally {
        $target.Dispose()
    }
}

function Get-FromRelay([string]$Path) {
    # 0: Windows decides. A .NET that still names versions itself is told of this one too
    if ([int][System.Net.ServicePointManager]::SecurityProtocol -ne 0) {
        [System.Net.ServicePointManager]::SecurityProtocol = [System.Net.ServicePointManager]::SecurityProtocol -bor [System.Net.SecurityProtocolType]::Tls12
    }
    $request = [System.Net.WebRequest]::CreateHttp("$($Relay.TrimEnd('/'))/release/agent-windows-$(Get-Machine).bundle")
    $request.MaximumAutomaticRedirections = 3
    $request.Timeout = 20000
    $request.ReadWriteTimeout = 60000
    if ($script:Run.Proxy -cne '') {
        $place = New-Object System.Uri $script:Run.Proxy
        $request.Proxy = New-Object System.Net.WebProxy "$($place.Scheme)://$($place.Authority)"
        if ($place.UserInfo -cne '') {
            $name, $word = $place.UserInfo.Split([char[]]':', 2)
            $request.Proxy.Credentials = New-Object System.Net.NetworkCredential ([Uri]::UnescapeDataString($name)), ([Uri]::UnescapeDataString([string]$word))
        }
    }
    $response = $request.GetResponse()
    try { Copy-Limited ($response.GetResponseStream()) $Path } finally { $response.Dispose() }
}

# Everything that follows reads this one copy, which only administrators can change.
function Open-Bundle {
    $path = Join-Path $script:Run.Work 'bundle'
    if ($Offline -cne '') {
        if (-not (Test-Path -LiteralPath $Offline -PathType Leaf)) { Stop-Installation 6 "there is no file $Offline." }
        $from = [System.IO.File]::OpenRead((Resolve-Path -LiteralPath $Offline).ProviderPath)
        try { Copy-Limited $from $path } finally { $from.Dispose() }
    } else {
        Write-Step "Taking the bundle from $Relay"
        try {
            Get-FromRelay $path
        } catch [System.Net.WebException] {
            Stop-Installation 4 "the relay hands out no bundle for $(Get-Machine): $($_.Exception.GetBaseException().Message) Check the address and the proxy; then run this again."
        }
    }
    $script:Run.Stream = [System.IO.File]::OpenRead($path)
}

function Assert-Signed {
    try {
        $script:Run.Checked = Get-CheckedBundle $script:Run.Stream $Fingerprint
    } catch {
        # whatever cannot be read is not what was signed
        Stop-Installation 5 ($_.Exception.GetBaseException().Message)
    }
    Write-Step "What the organisation signed: $($script:Run.Checked.Files.Count) files."
}

function Assert-Version {
    $release = $script:Run.Checked.Release
    if (-not [regex]::IsMatch($release.version, '\A[0-9]{1,6}(\.[0-9]{1,6}){2}\z')) { Stop-Installation 5 'the release has no version. (E_RELEASE_FORMAT)' }
    if ($release.platform -cne 'windows' -or $release.machine -cne (Get-Machine)) { Stop-Installation 5 'the release is for another kind of computer. (E_RELEASE_PLATFORM)' }
    $ends = [regex]::Match($script:Run.Checked.Text, '"expires_at_utc":"([0-9TZ:.+-]+)"').Groups[1].Value
    if ([DateTimeOffset]::Parse($ends, [Globalization.CultureInfo]::InvariantCulture) -le [DateTimeOffset]::UtcNow) {
        Stop-Installation 3 'the release has expired. Take a newer one, or set this computer''s clock. (E_RELEASE_EXPIRED)'
    }
    $version = [version]$release.version
    if ($AtLeast -cne '' -and $version -lt [version]$AtLeast) {
        Stop-Installation 3 "version $version is older than $AtLeast. Whoever handed it out may want an old fault back. (E_RELEASE_VERSION)"
    }
    $installed = [regex]::Match([System.IO.Path]::GetFileName((Get-InstalledPlace)), '\A([0-9]+\.[0-9]+\.[0-9]+)-').Groups[1].Value
    if ($installed -cne '' -and $version -lt [version]$installed) {
        Stop-Installation 3 "version $installed is installed, and $version is older. Uninstall first if you mean it. (E_RELEASE_VERSION)"
    }
    $script:Run.Version = $release.version
    $script:Run.Name = "$($release.version)-$($script:Run.Checked.Sha256.Substring(0, 12))"
    $script:Run.Here = Join-Path $script:Run.Versions $script:Run.Name
}

# A Python that was installed for all users, where only administrators write (PEP 514), of a version that the wheels fit.
function Find-Python {
    $wanted = @($script:Run.Checked.Release.pythons | Sort-Object -Descending -Property { [version]$_ })
    foreach ($version in $wanted) {
        foreach ($tag in @($version, "$version-arm64")) {
            $key = "HKLM:\SOFTWARE\Python\PythonCore\$tag\InstallPath"
            if (-not (Test-Path -LiteralPath $key)) { continue }
            $folder = [string](Get-Item -LiteralPath $key).GetValue('', '')
            if ($folder -ceq '') { continue }
            $program = [System.IO.Path]::GetFullPath([System.IO.Path]::Combine($folder, 'python.exe'))
            if (-not $program.StartsWith("$($script:Run.Programs)\", [StringComparison]::OrdinalIgnoreCase) -or -not [System.IO.File]::Exists($program)) { continue }
            $found = & $program -I -c 'import sys, venv, tkinter; print(''%d.%d'' % sys.version_info[:2])'
            if ($LASTEXITCODE -eq 0 -and $found -ceq $version) {
                $script:Run.Python = $program
                return
            }
        }
    }
    Stop-Installation 6 "Python $($wanted -join ' or ') with tkinter is missing. Install it for all users below $($script:Run.Programs), such as: winget install --scope machine Python.Python.$($wanted[0])"
}

# A version is whole when its stamp is there; what has none is taken away and made again.
function Install-Version {
    $here = $script:Run.Here
    if ([System.IO.File]::Exists((Join-Path $here '.complete'))) { return }
    Set-Changed
    if ($script:Run.DryRun) {
        Write-Step "would install version $($script:Run.Version) in $here"
        return
    }
    Write-Step "Installing version $($script:Run.Version)"
    if ([System.IO.Directory]::Exists($here)) { [System.IO.Directory]::Delete($here, $true) }
    if ((Invoke-Program $script:Run.Python @('-I', '-m', 'venv', '--without-pip', $here)) -ne 0) { Stop-Installation 6 "no Python environment can be made in $here. Is the disk full?" }
    $wheels = Join-Path $script:Run.Work 'wheels'
    [void][System.IO.Directory]::CreateDirectory($wheels)
    $pip = ''
    $list = New-Object System.Collections.ArrayList
    foreach ($name in @($script:Run.Checked.Files.Keys)) {
        if (-not $name.EndsWith('.whl', [StringComparison]::Ordinal)) { continue }
        $sha256 = $script:Run.Checked.Files[$name]
        $target = [System.IO.File]::Open((Join-Path $wheels $name), 'CreateNew', 'Write', 'None')
        try { $written = Copy-Member $script:Run.Stream $script:Run.Checked.Members[$name] $target } finally { $target.Dispose() }
        if ($written -cne $sha256) { Stop-Installation 6 "$name cannot be unpacked." }
        if ($name.StartsWith('pip-', [StringComparison]::Ordinal)) { $pip = Join-Path $wheels $name } else { [void]$list.Add("./$name --hash=sha256:$sha256") }
    }
    if ($pip -ceq '') { Stop-Installation 5 'the release has no installer. (E_RELEASE_FORMAT)' }
    [System.IO.File]::WriteAllLines((Join-Path $wheels 'requirements.txt'), [string[]]$list)
    $words = @('-I', (Join-Path $pip 'pip'), '--isolated', '--quiet', '--disable-pip-version-check', '--no-input', 'install', '--no-index', '--no-deps', '--no-cache-dir', '--no-warn-script-location', '--require-hashes', '--requirement', 'requirements.txt')
    Push-Location -LiteralPath $wheels
    try { $status = Invoke-Program (Join-Path $here 'Scripts\python.exe') $words } finally { Pop-Location }
    if ($status -ne 0) { Stop-Installation 6 "the release cannot be unpacked into $here. Is the disk full?" }
    [System.IO.File]::WriteAllBytes((Join-Path $here '.complete'), (New-Object byte[] 0))
}

# The agent reads the token itself, from the file or the console: it is in no list of processes and not in this script.
function Join-Organisation {
    $run = $script:Run
    if ($NoJoin -or [System.IO.File]::Exists((Join-Path $run.State 'identity.pem'))) { return }
    if ($run.DryRun) {
        Write-Step 'would join the organisation'
        return
    }
    $words = @('join', '--data', $run.State)
    if ($TokenFile -cne '') {
        if (-not (Test-Path -LiteralPath $TokenFile -PathType Leaf)) { Stop-Installation 7 "version $($run.Version) is installed, but the token file $TokenFile cannot be read." }
        $words += @('--token-file', (Resolve-Path -LiteralPath $TokenFile).ProviderPath)
    } elseif (-not [Environment]::UserInteractive -or [Console]::IsInputRedirected) {
        Write-Step 'Not joined: nobody can be asked for a token here. Run this again with -TokenFile FILE.'
        return
    }
    Set-Changed
    $run.Switched = $true
    if ((Invoke-Program (Join-Path $run.Here 'Scripts\alongside-agent.exe') $words) -ne 0) {
        Stop-Installation 7 "version $($run.Version) is installed, but this device could not join. Run this again with a token that works."
    }
}

function Start-Agent {
    $run = $script:Run
    if (-not $run.DryRun -and -not [System.IO.File]::Exists((Join-Path $run.State 'identity.pem'))) { return }
    Invoke-Step "start the service $($run.Service)" {
        if ($run.Switched) { Restart-Service -Name $run.Service -Force } else { Start-Service -Name $run.Service }
        Start-Sleep -Seconds 5
        if ("$((Get-Service -Name $run.Service).Status)" -cne 'Running') {
            Stop-Installation 1 "version $($run.Version) is installed, but its service does not stay up. Event Viewer > Windows Logs > Application says why."
        }
    }
}

# The version before stays, to go back to; older ones and halves go, as soon as nobody's desktop process runs from them.
function Remove-OldVersions {
    $run = $script:Run
    if ($run.DryRun) { return }
    $whole = @(Get-ChildItem -LiteralPath $run.Versions -Directory | Where-Object { Test-Path -LiteralPath (Join-Path $_.FullName '.complete') } | Sort-Object -Descending -Property LastWriteTimeUtc)
    $kept = @($run.Here) + @($whole | Select-Object -First 2 | ForEach-Object { $_.FullName })
    foreach ($each in @(Get-ChildItem -LiteralPath $run.Versions -Directory | Where-Object { $kept -notcontains $_.FullName })) {
        try { [System.IO.Directory]::Delete($each.FullName, $true) } catch [System.IO.IOException], [System.UnauthorizedAccessException] { Write-Step "$($each.Name) is still in use; the next installation removes it." }
    }
}

function Install-Agent {
    if (-not $script:Run.DryRun) { Lock-Installation }
    New-WorkFolder
    Open-Bundle
    Assert-Signed
    Assert-Version
    Find-Python
    # the run before was cut short: perhaps after the switch and before the start
    if ([System.IO.File]::Exists($script:Run.Pending)) {
        $script:Run.Changed = $true
        $script:Run.Switched = $true
    }
    Install-Version
    Install-Service
    Protect-State
    Set-Logon
    Set-Listed
    Save-Proxy
    Join-Organisation
    if (-not $script:Run.Changed) {
        Write-Step "unchanged: version $($script:Run.Version) is installed."
        return
    }
    Start-Agent
    Remove-OldVersions
    Invoke-Step 'note that nothing is left to do' { [System.IO.File]::Delete($script:Run.Pending) }
    if (-not $script:Run.DryRun) { Write-Step "Version $($script:Run.Version) is installed." }
}

function Start-Installation {
    Set-StrictMode -Version 3
    $ErrorActionPreference = 'Stop'
    $ProgressPreference = 'SilentlyContinue'
    if ($Help) {
        Show-Usage
        exit 0
    }
    if ("$($ExecutionContext.SessionState.LanguageMode)" -cne 'FullLanguage') {
        Write-Host 'alongside: a policy of this computer lets no script call .NET. Sign this script with a certificate that the policy allows.'
        exit 6
    }
    $status = 0
    try {
        Initialize-Run
        Assert-Options
        if ($Uninstall -and -not $DryRun -and -not (Test-Administrator)) {
            $status = Start-Elevated
        } else {
            Assert-Surroundings
            if ($Uninstall) { Uninstall-Agent } else { Install-Agent }
        }
    } catch {
        $cause = $_.Exception.GetBaseException()
        # 0x70, 0x27: the disk is full
        $status = if ($cause.Data.Contains('Status')) { $cause.Data['Status'] } elseif (($cause.HResult -band 65535) -in 112, 39) { 6 } else { 1 }
        [Console]::Error.WriteLine("alongside: $($cause.Message)")
    } finally {
        if ($null -ne $script:Run) { Remove-WorkFolder }
    }
    exit $status
}

$script:Run = $null
Start-Installation
