# Completes deploy-vfio's words in fish; the programs themselves know what they can become.

function __deploy_vfio_complete
    set -l before (commandline --current-process --tokenize --cut-at-cursor)[2..-1]
    set -l word (commandline --current-token --cut-at-cursor)
    for candidate in (DEPLOY_VFIO_ASK=complete command deploy-vfio $before "$word" 2>/dev/null)
        switch $candidate
            case \t'paths'
                __fish_complete_path "$word"
            case \t'directories'
                __fish_complete_directories "$word" ''
            case '*'
                printf '%s\n' $candidate
        end
    end
end

complete --command deploy-vfio --no-files --keep-order --arguments '(__deploy_vfio_complete)'
