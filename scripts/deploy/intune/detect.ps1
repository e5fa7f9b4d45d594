# Detection script of the Intune app: says the version that is installed, where it is whole and not older than the one below.
# Intune takes exit status 0 and a word on standard output together for "installed"; whatever else is "not installed".
Set-StrictMode -Version 3
$ErrorActionPreference = 'Stop'

# the version of the app in Intune: change it with each one
$atLeast = '0.0.0'

function Get-InstalledVersion([string]$AtLeast) {
    $listed = 'HKLM:\SOFTWARE\Microsoft\Windows\CurrentVersion\Uninstall\AlongsideAgent'
    if (-not (Test-Path -LiteralPath $listed)) { return '' }
    $version = [string](Get-Item -LiteralPath $listed).GetValue('DisplayVersion', '')
    $place = [string](Get-Item -LiteralPath $listed).GetValue('InstallLocation', '')
    if (-not [regex]::IsMatch($version, '\A[0-9]{1,6}(\.[0-9]{1,6}){2}\z') -or $place -ceq '') { return '' }
    if (-not [System.IO.File]::Exists([System.IO.Path]::Combine($place, '.complete'))) { return '' }
    if ($null -eq (Get-Service -Name 'AlongsideAgent' -ErrorAction SilentlyContinue)) { return '' }
    if ([version]$version -lt [version]$AtLeast) { return '' }
    return $version
}

$found = Get-InstalledVersion $atLeast
if ($found -ceq '') { exit 1 }
Write-Output "Alongside agent $found"
exit 0
