# fish completion for healthd. Made by packaging/reference; do not edit.

# The words of the line that are no options and no values of options: the command, then what it is about.
function __healthd_words
    set -l tokens (commandline -opc)[2..-1]
    set -l skip 0
    for token in $tokens
        if test $skip = 1
            set skip 0
        else if contains -- $token --config --expires --format --limit --locks --log-level --log-style --look-in --max --reason --run --since --socket --table --then --wait -c -e -n -r -s
            set skip 1
        else if not string match -q -- '-*' $token
            echo $token
        end
    end
end

function __healthd_at # COMMAND PLACE: whether the word of this place is being typed
    set -l words (__healthd_words)
    test "$words[1]" = $argv[1] -a (count $words) -eq $argv[2]
end

function __healthd_in # COMMAND
    set -l words (__healthd_words)
    test "$words[1]" = $argv[1]
end

function __healthd_names # KIND: names of the running daemon; there are none if no daemon answers
    set -l words (__healthd_words)
    set -l tokens (commandline -opc)
    set -l socket
    if set -l at (contains -i -- -s $tokens; or contains -i -- --socket $tokens)
        set socket -s $tokens[(math $at + 1)]
    end
    if test $argv[1] = servers
        healthd complete $socket -- servers $words[2] 2>/dev/null
    else
        healthd complete $socket -- $argv[1] 2>/dev/null
    end
end

complete -c healthd -f
complete -c healthd -n 'test -z (__healthd_words)[1]' -s h -l help -d 'show help and exit'
complete -c healthd -n 'test -z (__healthd_words)[1]' -l version -d 'show the version and exit'
complete -c healthd -n 'test -z (__healthd_words)[1]' -a run -d 'keep the table true, in the foreground'
complete -c healthd -n '__healthd_in run' -s h -l help -d 'show this help and exit'
complete -c healthd -n '__healthd_in run' -s c -l config -r -F -d 'healthd.toml, a directory with one, or an ldirectord.cf (default: $HEALTHD_CONFIG or /etc/healthd/healthd.toml)'
complete -c healthd -n '__healthd_in run' -l format -r -a 'toml ldirectord' -d 'format of the configuration (default: by its content)'
complete -c healthd -n '__healthd_in run' -l strict -d 'read an ldirectord.cf to the letter, as ldirectord itself does'
complete -c healthd -n '__healthd_in run' -l table -r -a 'kernel memory' -d 'memory: a table in this process that obeys the kernel\'s rules, to try things with'
complete -c healthd -n '__healthd_in run' -l in-process -d 'probe in this process instead of one with fewer rights'
complete -c healthd -n '__healthd_in run' -l locks -r -a '(__fish_complete_directories)' -d 'folder of the lock files that keep two daemons off the same services; all daemons of a table must have the same (default: $HEALTHD_LOCKS or /run/healthd)'
complete -c healthd -n '__healthd_in run' -l log-level -r -a 'debug info warning error' -d 'instead of the configured'
complete -c healthd -n '__healthd_in run' -l log-style -r -a 'healthd ldirectord' -d 'instead of the configured'
complete -c healthd -n 'test -z (__healthd_words)[1]' -a check-config -d 'tell everything that is wrong with a configuration'
complete -c healthd -n '__healthd_in check-config' -s h -l help -d 'show this help and exit'
complete -c healthd -n '__healthd_in check-config' -s c -l config -r -F -d 'healthd.toml, a directory with one, or an ldirectord.cf (default: $HEALTHD_CONFIG or /etc/healthd/healthd.toml)'
complete -c healthd -n '__healthd_in check-config' -l format -r -a 'toml ldirectord' -d 'format of the configuration (default: by its content)'
complete -c healthd -n '__healthd_in check-config' -l strict -d 'read an ldirectord.cf to the letter, as ldirectord itself does'
complete -c healthd -n '__healthd_in check-config' -l json -d 'print the problems as JSON'
complete -c healthd -n 'test -z (__healthd_words)[1]' -a plan -d 'tell what would be changed in the kernel\'s table now'
complete -c healthd -n '__healthd_in plan' -s h -l help -d 'show this help and exit'
complete -c healthd -n '__healthd_in plan' -s c -l config -r -F -d 'healthd.toml, a directory with one, or an ldirectord.cf (default: $HEALTHD_CONFIG or /etc/healthd/healthd.toml)'
complete -c healthd -n '__healthd_in plan' -l format -r -a 'toml ldirectord' -d 'format of the configuration (default: by its content)'
complete -c healthd -n '__healthd_in plan' -l strict -d 'read an ldirectord.cf to the letter, as ldirectord itself does'
complete -c healthd -n '__healthd_in plan' -s s -l socket -r -F -d 'the daemon\'s control socket (default: $HEALTHD_SOCKET or /run/healthd/control.sock or, where that is not there, the one of `healthd ldirectord`, if there is one)'
complete -c healthd -n '__healthd_in plan' -l json -d 'print the plan as JSON'
complete -c healthd -n '__healthd_in plan' -l offline -d 'do not ask a running daemon what it knows; go by the rows alone'
complete -c healthd -n 'test -z (__healthd_words)[1]' -a status -d 'tell what the running daemon believes'
complete -c healthd -n '__healthd_in status' -a '(__healthd_names services)'
complete -c healthd -n '__healthd_in status' -s h -l help -d 'show this help and exit'
complete -c healthd -n '__healthd_in status' -s s -l socket -r -F -d 'the daemon\'s control socket (default: $HEALTHD_SOCKET or /run/healthd/control.sock or, where that is not there, the one of `healthd ldirectord`, if there is one)'
complete -c healthd -n '__healthd_in status' -l json -d 'print the document the daemon serves'
complete -c healthd -n '__healthd_in status' -l connections -d 'read connection counters from the table as well'
complete -c healthd -n 'test -z (__healthd_words)[1]' -a top -d 'show what the running daemon believes, live'
complete -c healthd -n '__healthd_in top' -s h -l help -d 'show this help and exit'
complete -c healthd -n '__healthd_in top' -s s -l socket -r -F -d 'the daemon\'s control socket (default: $HEALTHD_SOCKET or /run/healthd/control.sock or, where that is not there, the one of `healthd ldirectord`, if there is one)'
complete -c healthd -n 'test -z (__healthd_words)[1]' -a explain -d 'tell why a server or a service is as it is, and what would bring it back'
complete -c healthd -n '__healthd_at explain 1' -a '(__healthd_names names)'
complete -c healthd -n '__healthd_at explain 2' -a '(__healthd_names servers)'
complete -c healthd -n '__healthd_in explain' -s h -l help -d 'show this help and exit'
complete -c healthd -n '__healthd_in explain' -s s -l socket -r -F -d 'the daemon\'s control socket (default: $HEALTHD_SOCKET or /run/healthd/control.sock or, where that is not there, the one of `healthd ldirectord`, if there is one)'
complete -c healthd -n '__healthd_in explain' -l json -d 'print what the daemon answers'
complete -c healthd -n 'test -z (__healthd_words)[1]' -a events -d 'tell what happened, and follow what happens'
complete -c healthd -n '__healthd_at events 1' -a '(__healthd_names names)'
complete -c healthd -n '__healthd_at events 2' -a '(__healthd_names servers)'
complete -c healthd -n '__healthd_in events' -s h -l help -d 'show this help and exit'
complete -c healthd -n '__healthd_in events' -s s -l socket -r -F -d 'the daemon\'s control socket (default: $HEALTHD_SOCKET or /run/healthd/control.sock or, where that is not there, the one of `healthd ldirectord`, if there is one)'
complete -c healthd -n '__healthd_in events' -l json -d 'print what the daemon answers'
complete -c healthd -n '__healthd_in events' -s f -l follow -d 'go on with what happens from now on'
complete -c healthd -n '__healthd_in events' -l since -r -d 'of the last so long (90s, 15m, 2d)'
complete -c healthd -n '__healthd_in events' -s n -l limit -r -d 'the newest so many (default: 50)'
complete -c healthd -n 'test -z (__healthd_words)[1]' -a drain -d 'have servers take no new connections, and wait until the old ones have ended'
complete -c healthd -n '__healthd_at drain 1' -a '(__healthd_names names)'
complete -c healthd -n '__healthd_at drain 2' -a '(__healthd_names servers)'
complete -c healthd -n '__healthd_in drain' -s h -l help -d 'show this help and exit'
complete -c healthd -n '__healthd_in drain' -s s -l socket -r -F -d 'the daemon\'s control socket (default: $HEALTHD_SOCKET or /run/healthd/control.sock or, where that is not there, the one of `healthd ldirectord`, if there is one)'
complete -c healthd -n '__healthd_in drain' -l json -d 'print what the daemon answers'
complete -c healthd -n '__healthd_in drain' -s r -l reason -r -d 'why, for whoever looks at it later'
complete -c healthd -n '__healthd_in drain' -s e -l expires -r -d 'ends by itself after so long (90s, 15m, 2h)'
complete -c healthd -n '__healthd_in drain' -s f -l force -d 'also if a service is left with fewer usable servers than it must keep'
complete -c healthd -n '__healthd_in drain' -s w -l wait -d 'until no connection is left, counting down; Ctrl-C takes the drain back'
complete -c healthd -n '__healthd_in drain' -l max -r -d 'wait, but no longer; the drain stays then, and this exits 1'
complete -c healthd -n '__healthd_in drain' -l then -r -a 'hold remove' -d 'wait, and once no connection is left stay drained, or take the row out of the table (default: hold)'
complete -c healthd -n 'test -z (__healthd_words)[1]' -a undrain -d 'end a drain'
complete -c healthd -n '__healthd_at undrain 1' -a '(__healthd_names names)'
complete -c healthd -n '__healthd_at undrain 2' -a '(__healthd_names servers)'
complete -c healthd -n '__healthd_in undrain' -s h -l help -d 'show this help and exit'
complete -c healthd -n '__healthd_in undrain' -s s -l socket -r -F -d 'the daemon\'s control socket (default: $HEALTHD_SOCKET or /run/healthd/control.sock or, where that is not there, the one of `healthd ldirectord`, if there is one)'
complete -c healthd -n '__healthd_in undrain' -l json -d 'print what the daemon answers'
complete -c healthd -n 'test -z (__healthd_words)[1]' -a maintenance -d 'have servers be as if they had failed, or end that'
complete -c healthd -n '__healthd_at maintenance 1' -a 'on off'
complete -c healthd -n '__healthd_at maintenance 2' -a '(__healthd_names names)'
complete -c healthd -n '__healthd_at maintenance 3' -a '(__healthd_names servers)'
complete -c healthd -n '__healthd_in maintenance' -s h -l help -d 'show this help and exit'
complete -c healthd -n '__healthd_in maintenance' -s s -l socket -r -F -d 'the daemon\'s control socket (default: $HEALTHD_SOCKET or /run/healthd/control.sock or, where that is not there, the one of `healthd ldirectord`, if there is one)'
complete -c healthd -n '__healthd_in maintenance' -l json -d 'print what the daemon answers'
complete -c healthd -n '__healthd_in maintenance' -s r -l reason -r -d 'why, for whoever looks at it later'
complete -c healthd -n '__healthd_in maintenance' -s e -l expires -r -d 'ends by itself after so long (90s, 15m, 2h)'
complete -c healthd -n '__healthd_in maintenance' -s f -l force -d 'also if a service is left with fewer usable servers than it must keep'
complete -c healthd -n 'test -z (__healthd_words)[1]' -a weight -d 'give servers another weight than the configured one'
complete -c healthd -n '__healthd_at weight 2' -a '(__healthd_names names)'
complete -c healthd -n '__healthd_at weight 3' -a '(__healthd_names servers)'
complete -c healthd -n '__healthd_in weight' -s h -l help -d 'show this help and exit'
complete -c healthd -n '__healthd_in weight' -s s -l socket -r -F -d 'the daemon\'s control socket (default: $HEALTHD_SOCKET or /run/healthd/control.sock or, where that is not there, the one of `healthd ldirectord`, if there is one)'
complete -c healthd -n '__healthd_in weight' -l json -d 'print what the daemon answers'
complete -c healthd -n '__healthd_in weight' -s r -l reason -r -d 'why, for whoever looks at it later'
complete -c healthd -n '__healthd_in weight' -s e -l expires -r -d 'ends by itself after so long (90s, 15m, 2h)'
complete -c healthd -n '__healthd_in weight' -s f -l force -d 'also if a service is left with fewer usable servers than it must keep'
complete -c healthd -n 'test -z (__healthd_words)[1]' -a overrides -d 'tell what operators have asked for'
complete -c healthd -n '__healthd_in overrides' -s h -l help -d 'show this help and exit'
complete -c healthd -n '__healthd_in overrides' -s s -l socket -r -F -d 'the daemon\'s control socket (default: $HEALTHD_SOCKET or /run/healthd/control.sock or, where that is not there, the one of `healthd ldirectord`, if there is one)'
complete -c healthd -n '__healthd_in overrides' -l json -d 'print what the daemon answers'
complete -c healthd -n 'test -z (__healthd_words)[1]' -a check-now -d 'have real servers asked at once'
complete -c healthd -n '__healthd_at check-now 1' -a '(__healthd_names names)'
complete -c healthd -n '__healthd_at check-now 2' -a '(__healthd_names servers)'
complete -c healthd -n '__healthd_in check-now' -s h -l help -d 'show this help and exit'
complete -c healthd -n '__healthd_in check-now' -s s -l socket -r -F -d 'the daemon\'s control socket (default: $HEALTHD_SOCKET or /run/healthd/control.sock or, where that is not there, the one of `healthd ldirectord`, if there is one)'
complete -c healthd -n '__healthd_in check-now' -l json -d 'print what the daemon answers'
complete -c healthd -n 'test -z (__healthd_words)[1]' -a resync -d 'have the table compared at once'
complete -c healthd -n '__healthd_in resync' -s h -l help -d 'show this help and exit'
complete -c healthd -n '__healthd_in resync' -s s -l socket -r -F -d 'the daemon\'s control socket (default: $HEALTHD_SOCKET or /run/healthd/control.sock or, where that is not there, the one of `healthd ldirectord`, if there is one)'
complete -c healthd -n '__healthd_in resync' -l json -d 'print what the daemon answers'
complete -c healthd -n 'test -z (__healthd_words)[1]' -a config -d 'print the configuration that is in force'
complete -c healthd -n '__healthd_in config' -s h -l help -d 'show this help and exit'
complete -c healthd -n '__healthd_in config' -s s -l socket -r -F -d 'the daemon\'s control socket (default: $HEALTHD_SOCKET or /run/healthd/control.sock or, where that is not there, the one of `healthd ldirectord`, if there is one)'
complete -c healthd -n 'test -z (__healthd_words)[1]' -a doctor -d 'find what makes a director fail in silence, and say what to do'
complete -c healthd -n '__healthd_in doctor' -s h -l help -d 'show this help and exit'
complete -c healthd -n '__healthd_in doctor' -s c -l config -r -F -d 'healthd.toml, a directory with one, or an ldirectord.cf (default: $HEALTHD_CONFIG or /etc/healthd/healthd.toml)'
complete -c healthd -n '__healthd_in doctor' -l format -r -a 'toml ldirectord' -d 'format of the configuration (default: by its content)'
complete -c healthd -n '__healthd_in doctor' -l strict -d 'read an ldirectord.cf to the letter, as ldirectord itself does'
complete -c healthd -n '__healthd_in doctor' -s s -l socket -r -F -d 'the daemon\'s control socket (default: $HEALTHD_SOCKET or /run/healthd/control.sock or, where that is not there, the one of `healthd ldirectord`, if there is one)'
complete -c healthd -n '__healthd_in doctor' -l json -d 'print everything that was looked at as JSON'
complete -c healthd -n '__healthd_in doctor' -l quiet -d 'print warnings and errors only'
complete -c healthd -n '__healthd_in doctor' -s v -l verbose -d 'print also what is in order'
complete -c healthd -n 'test -z (__healthd_words)[1]' -a probe -d 'ask real servers once and show what was sent and received'
complete -c healthd -n '__healthd_at probe 1' -a '(__healthd_names services)'
complete -c healthd -n '__healthd_at probe 2' -a '(__healthd_names servers)'
complete -c healthd -n '__healthd_in probe' -s h -l help -d 'show this help and exit'
complete -c healthd -n '__healthd_in probe' -s c -l config -r -F -d 'healthd.toml, a directory with one, or an ldirectord.cf (default: $HEALTHD_CONFIG or /etc/healthd/healthd.toml)'
complete -c healthd -n '__healthd_in probe' -l format -r -a 'toml ldirectord' -d 'format of the configuration (default: by its content)'
complete -c healthd -n '__healthd_in probe' -l strict -d 'read an ldirectord.cf to the letter, as ldirectord itself does'
complete -c healthd -n '__healthd_in probe' -l json -d 'print verdicts as JSON, without transcripts'
complete -c healthd -n '__healthd_in probe' -l quiet -d 'print verdicts only'
complete -c healthd -n 'test -z (__healthd_words)[1]' -a convert -d 'print an ldirectord.cf as TOML, with its comments and with what changes meaning'
complete -c healthd -n '__healthd_at convert 1' -F
complete -c healthd -n '__healthd_in convert' -s h -l help -d 'show this help and exit'
complete -c healthd -n '__healthd_in convert' -l strict -d 'read it to the letter, as ldirectord itself does'
complete -c healthd -n 'test -z (__healthd_words)[1]' -a ldirectord -d 'start, stop or ask a daemon as ldirectord does'
complete -c healthd -n '__healthd_at ldirectord 1' -F
complete -c healthd -n '__healthd_at ldirectord 2' -a 'start stop restart try-restart reload force-reload status'
complete -c healthd -n '__healthd_in ldirectord' -s d -l debug -d 'stay in the foreground, log everything to standard error'
complete -c healthd -n '__healthd_in ldirectord' -s h -s ? -l help -d 'print this and exit'
complete -c healthd -n '__healthd_in ldirectord' -s v -l version -d 'print the version and exit'
complete -c healthd -n '__healthd_in ldirectord' -l strict -d 'read the configuration to the letter, as ldirectord itself does'
complete -c healthd -n '__healthd_in ldirectord' -l table -r -a 'kernel memory' -d 'kernel, or memory: a table in the daemon that obeys the kernel\'s rules, to try things with'
complete -c healthd -n '__healthd_in ldirectord' -l in-process -d 'probe in the daemon instead of in a process with fewer rights'
complete -c healthd -n '__healthd_in ldirectord' -l locks -r -a '(__fish_complete_directories)' -d 'lock files that keep two daemons off the same services (default: $HEALTHD_LOCKS or /run/healthd)'
complete -c healthd -n '__healthd_in ldirectord' -l run -r -a '(__fish_complete_directories)' -d 'pid files, and control sockets in DIR/healthd (default: $HEALTHD_RUN or /var/run)'
complete -c healthd -n '__healthd_in ldirectord' -l look-in -r -a '(__fish_complete_directories)' -d 'look for configurations there instead of below /etc/ha.d; may be given several times'
complete -c healthd -n '__healthd_in ldirectord' -l wait -r -d 'how long stop and restart wait for the end (default: 30)'
complete -c healthd -n '__healthd_in ldirectord' -l log-level -r -d 'debug, info, warning, error; instead of the configured one'
complete -c healthd -n '__healthd_in ldirectord' -l log-style -r -d 'healthd, ldirectord (default: ldirectord)'
complete -c healthd -n 'test -z (__healthd_words)[1]' -a reload -d 'have the running daemon read its configuration again'
complete -c healthd -n '__healthd_in reload' -s h -l help -d 'show this help and exit'
complete -c healthd -n '__healthd_in reload' -s s -l socket -r -F -d 'the daemon\'s control socket (default: $HEALTHD_SOCKET or /run/healthd/control.sock or, where that is not there, the one of `healthd ldirectord`, if there is one)'
complete -c healthd -n '__healthd_in reload' -l diff -d 'only tell what would be written to the table'
complete -c healthd -n 'test -z (__healthd_words)[1]' -a complete -d 'print names that a command line may have, one a line, for completion in shells'
complete -c healthd -n '__healthd_at complete 1' -a 'services names servers'
complete -c healthd -n '__healthd_at complete 2' -a '(__healthd_names services)'
complete -c healthd -n '__healthd_in complete' -s h -l help -d 'show this help and exit'
complete -c healthd -n '__healthd_in complete' -s s -l socket -r -F -d 'the daemon\'s control socket (default: $HEALTHD_SOCKET or /run/healthd/control.sock or, where that is not there, the one of `healthd ldirectord`, if there is one)'
