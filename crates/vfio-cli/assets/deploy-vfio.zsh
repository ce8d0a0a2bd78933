#compdef deploy-vfio
# Completes deploy-vfio's words in zsh; the programs themselves know what they can become.

_deploy-vfio() {
	local candidate value
	local -a values shown
	# The words up to the cursor, without their quotes.
	for candidate in ${(f)"$(DEPLOY_VFIO_ASK=complete command deploy-vfio \
		"${(@Q)words[2,CURRENT-1]}" "${(Q)PREFIX}" 2>/dev/null)"}; do
		value=${candidate%%$'\t'*}
		case $candidate in
		$'\t'paths) compset -P '*=' ; _files && return ;;
		$'\t'directories) compset -P '*=' ; _files -/ && return ;;
		*$'\t'*) values+=("$value") shown+=("$value  -- ${candidate#*$'\t'}") ;;
		*) values+=("$value") shown+=("$value") ;;
		esac
	done
	(( $#values )) && compadd -l -V deploy-vfio -d shown -a values
}

# Read by `source`, or loaded by its first use from a directory of $fpath.
if [[ $funcstack[1] == _deploy-vfio ]]; then
	_deploy-vfio "$@"
else
	compdef _deploy-vfio deploy-vfio
fi
