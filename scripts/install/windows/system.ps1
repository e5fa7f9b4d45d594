# What of Windows the agent's installation touches beside its own folder: the service, the folder with identity and history, what
# starts when somebody logs on, and the list of apps. Functions of install.ps1 alone; in a release they stand in it.
# install.ps1 takes in what stands from here
# Where the version that is installed lies; '' where none is.
function Get-InstalledPlace {
    if (-not (Test-Path -LiteralPath $script:Run.Listed)) { return '' }
    return [string](Get-Item -LiteralPath $script:Run.Listed).GetValue('InstallLocation', '')
}

function Set-ServiceProperty([hashtable]$Values) {
    $service = Get-CimInstance -ClassName Win32_Service -Filter "Name='$($script:Run.Service)'"
    $result = Invoke-CimMethod -InputObject $service -MethodName Change -Arguments $Values
    if ($result.ReturnValue -ne 0) { Stop-Installation 1 "Windows does not take the service's settings (Win32_Service.Change: $($result.ReturnValue))." }
}

# A virtual account: its own security id, no password, no rights beyond the files that are opened to it below.
function Install-Service {
    $run = $script:Run
    $path = '"{0}\Scripts\python.exe" -I -m agent --windows-service {1} --no-desktop --seats-socket "{2}" --data "{3}"' -f $run.Here, $run.Service, $run.Pipe, $run.State
    $service = Get-CimInstance -ClassName Win32_Service -Filter "Name='$($run.Service)'"
    if ($null -eq $service) {
        Set-Changed
        $run.Switched = $true
        Invoke-Step "make the service $($run.Service)" {
            New-Service -Name $run.Service -BinaryPathName $path -DisplayName 'Alongside agent' -StartupType Automatic -Description 'Remote support beside the person: link to the relay, consent, record.'
        }
    } elseif ($service.PathName -cne $path) {
        Set-Changed
        $run.Switched = $true
        Invoke-Step 'let the service run this version' { Set-ServiceProperty @{ PathName = $path } }
    } elseif ($service.StartName -ceq $run.Account) {
        return
    }
    # the account last: whose service it is says that the rest was done
    foreach ($words in @(
            @('privs', $run.Service, 'SeChangeNotifyPrivilege'), @('failureflag', $run.Service, '1'),
            @('failure', $run.Service, 'reset=', '300', 'actions=', 'restart/2000/restart/10000/restart/60000'),
            @('config', $run.Service, 'obj=', $run.Account))) {
        Invoke-Step "run: sc.exe $words" {
            if ((Invoke-Program $run.Control $words) -ne 0) { Stop-Installation 1 "Windows does not take the service's settings (sc.exe $words)." }
        }
    }
}

# Identity and history: for the system, administrators and the service alone. Every user may make folders in ProgramData, so that one
# that somebody else made is not taken.
function Protect-State {
    $run = $script:Run
    if ($run.DryRun) {
        if (-not [System.IO.Directory]::Exists($run.State)) { Write-Step "would make $($run.State) for the system, administrators and $($run.Account) alone" }
        return
    }
    $system = New-Object System.Security.Principal.SecurityIdentifier 'S-1-5-18'
    $administrators = New-Object System.Security.Principal.SecurityIdentifier 'S-1-5-32-544'
    $service = (New-Object System.Security.Principal.NTAccount $run.Account).Translate([System.Security.Principal.SecurityIdentifier])
    $wanted = New-Object System.Security.AccessControl.DirectorySecurity
    $wanted.SetAccessRuleProtection($true, $false)
    $wanted.SetOwner($administrators)
    foreach ($rule in @(@($system, 'FullControl'), @($administrators, 'FullControl'), @($service, 'Modify'))) {
        $wanted.AddAccessRule((New-Object System.Security.AccessControl.FileSystemAccessRule $rule[0], $rule[1], 'ContainerInherit, ObjectInherit', 'None', 'Allow'))
    }
    [void][System.IO.Directory]::CreateDirectory($run.State, $wanted)
    $found = New-Object System.IO.DirectoryInfo $run.State
    $owner = $found.GetAccessControl().GetOwner([System.Security.Principal.SecurityIdentifier])
    if (($found.Attributes -band [System.IO.FileAttributes]::ReparsePoint) -ne 0 -or @($system, $administrators) -notcontains $owner) {
        Stop-Installation 3 "$($run.State) was made by somebody else ($owner), or leads elsewhere. Look at it and take it away; then run this again."
    }
    $found.SetAccessControl($wanted)
    # made here, so that it inherits: Python closes a folder that it makes to everybody but its maker
    [void][System.IO.Directory]::CreateDirectory((Join-Path $run.State 'run'))
}

# The agent's own way to the relay, in a file that the agent alone reads. A name that is there is exchanged and never followed.
function Save-Proxy {
    if ($script:Run.Proxy -ceq '') { return }
    $path = Join-Path $script:Run.State 'relay-proxy'
    if ([System.IO.File]::Exists($path) -and [System.IO.File]::ReadAllText($path).Trim() -ceq $script:Run.Proxy) { return }
    Set-Changed
    $script:Run.Switched = $true
    Invoke-Step 'keep the proxy''s address for the agent' {
        $aside = Join-Path $script:Run.State ".relay-proxy.$([guid]::NewGuid().ToString('N'))"
        $file = [System.IO.File]::Open($aside, 'CreateNew', 'Write', 'None')
        $bytes = [System.Text.Encoding]::UTF8.GetBytes("$($script:Run.Proxy)`n")
        try { $file.Write($bytes, 0, $bytes.Length) } finally { $file.Dispose() }
        [System.IO.File]::Delete($path)
        [System.IO.File]::Move($aside, $path)
    }
}

# Prompt and indicator, as the person who logs on; shown among the apps that start with Windows.
function Set-Logon {
    $run = $script:Run
    $words = '"{0}\Scripts\pythonw.exe" -I -m agent.desktop --socket "{1}" --service-user "{2}"' -f $run.Here, $run.Pipe, $run.Account
    if ((Get-Item -LiteralPath $run.Logon).GetValue($run.LogonName, '') -ceq $words) { return }
    Set-Changed
    Invoke-Step 'start the desktop process when somebody logs on' { Set-ItemProperty -LiteralPath $run.Logon -Name $run.LogonName -Value $words -Type String }
}

# What Settings > Apps shows. The script that removes is this one, kept beside the versions.
function Set-Listed {
    $run = $script:Run
    $kept = Join-Path $run.Prefix 'install.ps1'
    if ($run.Script -ne $kept) {
        Invoke-Step "keep this script in $kept" {
            [System.IO.File]::Copy($run.Script, $kept, $true)
            # out of the sources it is three files
            foreach ($name in 'Get-CheckedBundle', 'Set-Listed') {
                $file = (Get-Command -Name $name -CommandType Function).ScriptBlock.File
                if ($file -ne $run.Script) { [System.IO.File]::Copy($file, (Join-Path $run.Prefix ([System.IO.Path]::GetFileName($file))), $true) }
            }
        }
    }
    $words = '"{0}" -NoProfile -ExecutionPolicy Bypass -File "{1}" -Uninstall' -f $run.Shell, $kept
    if ((Get-InstalledPlace) -ceq $run.Here) { return }
    Set-Changed
    Invoke-Step "list version $($run.Version) among the apps" {
        if (-not (Test-Path -LiteralPath $run.Listed)) { New-Item -Path $run.Listed -Force }
        $bytes = (Get-ChildItem -LiteralPath $run.Here -Recurse -File -Force | Measure-Object -Property Length -Sum).Sum
        foreach ($each in @{ DisplayName = 'Alongside agent'; DisplayVersion = $run.Version; Publisher = 'Alongside'; UninstallString = $words; QuietUninstallString = $words }.GetEnumerator()) {
            Set-ItemProperty -LiteralPath $run.Listed -Name $each.Key -Value $each.Value -Type String
        }
        foreach ($each in @{ EstimatedSize = [int]($bytes / 1024); NoModify = 1; NoRepair = 1 }.GetEnumerator()) {
            Set-ItemProperty -LiteralPath $run.Listed -Name $each.Key -Value $each.Value -Type DWord
        }
        # last: this is what counts as installed
        Set-ItemProperty -LiteralPath $run.Listed -Name 'InstallLocation' -Value $run.Here -Type String
    }
}

# Settings > Apps starts it without an administrator's rights; Windows asks for them then.
function Start-Elevated {
    if (-not [Environment]::UserInteractive) { Stop-Installation 3 'this needs an administrator.' }
    $words = '-NoProfile -ExecutionPolicy Bypass -File "{0}" -Uninstall' -f $script:Run.Script
    if ($Purge) { $words += ' -Purge' }
    try {
        $started = Start-Process -FilePath $script:Run.Shell -Verb RunAs -Wait -PassThru -ArgumentList $words
    } catch {
        Stop-Installation 3 'this needs an administrator, and none said yes.'
    }
    return $started.ExitCode
}

function Uninstall-Agent {
    $run = $script:Run
    $service = Get-Service -Name $run.Service -ErrorAction SilentlyContinue
    $logon = (Get-Item -LiteralPath $run.Logon).GetValue($run.LogonName, '')
    $isThere = [System.IO.Directory]::Exists($run.Prefix) -or $null -ne $service -or $logon -cne '' -or (Test-Path -LiteralPath $run.Listed)
    if (-not $isThere -and -not ($Purge -and [System.IO.Directory]::Exists($run.State))) {
        Write-Step 'unchanged: it is not installed.'
        return
    }
    if (-not $run.DryRun) { Lock-Installation }
    # where this runs, nothing can be removed
    Set-Location -LiteralPath ([Environment]::SystemDirectory)
    [Environment]::CurrentDirectory = [Environment]::SystemDirectory
    $agent = [System.IO.Path]::Combine((Get-InstalledPlace), 'Scripts\alongside-agent.exe')
    if ($null -ne $service) {
        Invoke-Step "stop the service $($run.Service)" { Stop-Service -Name $run.Service -Force }
    }
    if ($logon -cne '') { Invoke-Step 'no longer start the desktop process' { Remove-ItemProperty -LiteralPath $run.Logon -Name $run.LogonName } }
    Invoke-Step 'end what still runs of it' {
        Get-CimInstance -ClassName Win32_Process | Where-Object { $null -ne $_.ExecutablePath -and $_.ExecutablePath.StartsWith("$($run.Prefix)\", [StringComparison]::OrdinalIgnoreCase) } |
            ForEach-Object { Stop-Process -Id $_.ProcessId -Force -ErrorAction SilentlyContinue }
    }
    if ($Purge -and [System.IO.File]::Exists((Join-Path $run.State 'identity.pem')) -and [System.IO.File]::Exists($agent)) {
        Invoke-Step 'leave the organisation' { Invoke-Program $agent @('leave', '--data', $run.State) }
    }
    if ($null -ne $service) {
        Invoke-Step "remove the service $($run.Service)" {
            if ((Invoke-Program $run.Control @('delete', $run.Service)) -ne 0) { Stop-Installation 1 'Windows does not remove the service.' }
        }
    }
    Invoke-Step "remove $($run.Prefix)" {
        if ($null -ne $run.Lock) { $run.Lock.Dispose() }
        if ([System.IO.Directory]::Exists($run.Prefix)) { [System.IO.Directory]::Delete($run.Prefix, $true) }
    }
    if (Test-Path -LiteralPath $run.Listed) { Invoke-Step 'take it off the list of apps' { Remove-Item -LiteralPath $run.Listed -Recurse } }
    if (-not $Purge) {
        Write-Step "Removed. Identity and history stay in $($run.State); -Uninstall -Purge removes them too."
        return
    }
    # a link inside is removed and never followed
    Invoke-Step "remove $($run.State)" { if ([System.IO.Directory]::Exists($run.State)) { [System.IO.Directory]::Delete($run.State, $true) } }
    Write-Step 'Removed, with identity and history.'
}
# install.ps1 takes in what stands up to here
