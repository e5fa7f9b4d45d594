# Start-up script of a GPO: installs, updates or removes the agent as the administrative template says. See README.md beside it.
# Exit statuses: 0 done, unchanged or not configured, 2 the policy is not complete, 5 install.ps1 is not the one that the policy names, else those of install.ps1.
Set-StrictMode -Version 3
$ErrorActionPreference = 'Stop'

# Only administrators and group policy write there.
function Read-Policy {
    $place = 'HKLM:\SOFTWARE\Policies\Alongside\Install'
    if (-not (Test-Path -LiteralPath $place)) { return @{ Install = -1 } }
    $key = Get-Item -LiteralPath $place
    $found = @{ Install = [int]$key.GetValue('Install', -1) }
    foreach ($name in 'Folder', 'ScriptSha256', 'Fingerprint', 'AtLeast', 'TokenFile', 'ProxyFile') { $found[$name] = [string]$key.GetValue($name, '') }
    return $found
}

function Get-Words([hashtable]$Policy) {
    $words = @('-Fingerprint', $Policy['Fingerprint'], '-Offline', (Join-Path $Policy['Folder'] 'agent-windows-amd64.bundle'))
    if ($Policy['AtLeast'] -cne '') { $words += @('-AtLeast', $Policy['AtLeast']) }
    if ($Policy['ProxyFile'] -cne '') { $words += @('-ProxyFile', $Policy['ProxyFile']) }
    if ($Policy['TokenFile'] -cne '') { $words += @('-TokenFile', $Policy['TokenFile']) } else { $words += '-NoJoin' }
    return $words
}

# A copy that nobody else can write, kept open while it is checked and runs.
function Start-Checked([hashtable]$Policy) {
    $path = Join-Path ([Environment]::GetFolderPath('Windows')) "Temp\alongside-$([guid]::NewGuid().ToString('N')).ps1"
    $shell = Join-Path ([Environment]::SystemDirectory) 'WindowsPowerShell\v1.0\powershell.exe'
    [System.IO.File]::Copy((Join-Path $Policy['Folder'] 'install.ps1'), $path, $false)
    $held = [System.IO.File]::Open($path, 'Open', 'Read', 'Read')
    try {
        $found = (Get-FileHash -InputStream $held -Algorithm SHA256).Hash.ToLowerInvariant()
        if ($found -cne $Policy['ScriptSha256'].ToLowerInvariant()) {
            Write-Host 'alongside: install.ps1 is not the one that the policy names. Do not run it.'
            return 5
        }
        & $shell -NoProfile -ExecutionPolicy Bypass -File $path (Get-Words $Policy) | Out-Host
        return $LASTEXITCODE
    } finally {
        $held.Dispose()
        [System.IO.File]::Delete($path)
    }
}

function Start-Removal {
    $kept = Join-Path ([Environment]::GetFolderPath('ProgramFiles')) 'Alongside\install.ps1'
    if (-not [System.IO.File]::Exists($kept)) { return 0 }
    & (Join-Path ([Environment]::SystemDirectory) 'WindowsPowerShell\v1.0\powershell.exe') -NoProfile -ExecutionPolicy Bypass -File $kept -Uninstall | Out-Host
    return $LASTEXITCODE
}

function Start-Policy {
    $policy = Read-Policy
    if ($policy['Install'] -eq 0) { return Start-Removal }
    if ($policy['Install'] -ne 1) { return 0 }
    if ($policy['Folder'] -ceq '' -or -not [regex]::IsMatch($policy['ScriptSha256'], '\A[0-9a-fA-F]{64}\z') -or -not [regex]::IsMatch($policy['Fingerprint'], '\A[0-9a-f]{64}\z')) {
        Write-Host 'alongside: the policy needs a folder, the hash of install.ps1 and the fingerprint of the organisation.'
        return 2
    }
    return Start-Checked $policy
}

exit (Start-Policy)
