# shellcheck shell=bash
# Completes deploy-vfio's words in bash; the programs themselves know what they can become.

_deploy_vfio() {
	local words=() word glued='' candidate value last
	# bash takes words apart at `=` and `:`, which the programs do not.
	for word in "${COMP_WORDS[@]:1:COMP_CWORD}"; do
		if [[ ${#words[@]} -gt 0 && ($glued || $word == [=:]*) ]]; then
			words[-1]+=$word
		else
			words+=("$word")
		fi
		[[ $word == *[=:] ]] && glued=1 || glued=
	done
	last=${words[-1]}
	# What bash leaves on the line in front of the word that it replaces.
	local kept=${last%"${last##*[=:]}"}

	COMPREPLY=()
	while IFS= read -r candidate; do
		value=${candidate%%$'\t'*}
		case $candidate in
		$'\t'paths) compopt -o default ;;
		$'\t'directories) compopt -o dirnames ;;
		*) COMPREPLY+=("${value#"$kept"}") ;;
		esac
	done < <(DEPLOY_VFIO_ASK=complete command deploy-vfio "${words[@]}" 2>/dev/null)
} 2>/dev/null

complete -F _deploy_vfio deploy-vfio
