#!/bin/sh
# Takes back what deploy-vfio did, without deploy-vfio: from a live system, with nothing but a shell,
# awk and the usual file tools (busybox has them all).
#
#	sh /mnt/var/lib/deploy-vfio/rescue.sh /mnt       a system that is mounted at /mnt
#	sh /var/lib/deploy-vfio/rescue.sh                this system
#	… --no-rebuild                                   without initramfs and boot menu
#	… --list                                         only say what there is to take back
#
# Where deploy-vfio can be run, `deploy-vfio undo --all --root /mnt` is the better way: it knows of
# damaged records, merges around edits, and puts back directories' times.
#
# A file goes back only if it is as deploy-vfio left it; one that was edited since stays, and is named.
# Nothing is removed but what deploy-vfio created. It can be run again at any time.
#
# Exit status: 0 all is as before; 1 the files are, but initramfs or boot menu could not be built; 2 wrong
# words; 4 something stays; 5 deploy-vfio is at work.
set -u
umask 022
unset CDPATH
tab=$(printf '\t')
newline='
'
# Lists are text of lines: here-documents may need a file, and there may be no place for one.
IFS=$newline
PATH=/usr/sbin:/usr/bin:/sbin:/bin
export PATH

root=/
rebuild=yes
list=
for word; do
	case $word in
	--no-rebuild) rebuild= ;;
	--list) list=yes ;;
	-*)
		echo "usage: rescue.sh [ROOT] [--no-rebuild | --list]" >&2
		exit 2
		;;
	*) root=$word ;;
	esac
done
root=$(cd -P -- "$root" && pwd) || exit 2
[ "$root" = / ] && root=
state=$root/var/lib/deploy-vfio
if [ ! -d "$state/tx" ]; then
	echo "rescue: there is no $state/tx: nothing was done here, or /var is not mounted" >&2
	exit 2
fi

# The numbers of all operations, the newest first. A record that was set aside has more than a number.
newest_first=
aside=
for operation in "$state"/tx/[0-9]*; do
	number=${operation##*/}
	case $number in
	*.damaged*) aside=$aside$number$newline && continue ;;
	*[!0-9]*) continue ;;
	esac
	[ -d "$operation" ] && newest_first=$number$newline$newest_first
done

# Sets `todo` to what there is to do about operation $1: take, sweep (its files are back, but it was
# interrupted before what lies beside them was gone), or nothing.
with=,
look_at() {
	last=$(tail -n 1 "$state/tx/$1/journal" 2>/dev/null)
	todo=take
	case $last in
	*'"state":"undone"'*'"clean":true'* | *'"state":"rolled-back"'*'"clean":true'*) todo= ;;
	*'"state":"undone"'* | *'"state":"rolled-back"'*)
		todo=sweep
		# The same undo took back older ones, whose journals may not say so yet.
		case $last in
		*'"with":['*)
			last=${last#*'"with":['}
			with=$with${last%%]*},
			;;
		esac
		;;
	*) case $with in *,"${1#"${1%%[!0]*}"}",*) todo=sweep ;; esac ;;
	esac
}

if [ -n "$list" ]; then
	for number in $newest_first; do
		look_at "$number"
		[ "$todo" = take ] || continue
		title=$(sed -n 's/^  "title": "\(.*\)",$/\1/p' "$state/tx/$number/plan.json")
		printf 'operation %s: %s\n' "$number" "${title:-its record is damaged}"
	done
	exit 0
fi
if command -v flock >/dev/null && [ -f "$state/lock" ]; then
	exec 9<"$state/lock"
	flock -n 9 || {
		echo "rescue: deploy-vfio is at work here" >&2
		exit 5
	}
fi
left=0
restored=0
# Files that are in no state we know: a line each, with what is to be said.
amiss=

say() {
	printf '%s\n' "rescue: $*"
}

leave() {
	left=$((left + 1))
	say "$*"
}

# Prints the steps of the plan $2, a field a line: number, target; of the side before its kind (absent,
# link, file, unkept; odd where something has control characters), the link's target or the sum, mode and
# owner, time, attributes; of the side after the first three of those. Or, where $1 is make, the directories
# that it made, the deepest first. The plan is JSON that we wrote ourselves: one member a line.
read_plan() {
	awk -v asked="$1" '
	function text(line, i, c, out, raw) {
		raw = line
		out = ""
		while ((i = index(line, "\\")) > 0) {
			c = substr(line, i + 1, 1)
			if (c != "\"" && c != "\\") { odd = 1; return raw }
			out = out substr(line, 1, i - 1) c
			line = substr(line, i + 2)
		}
		return out line
	}
	function value(line) {
		sub(/^[^:]*: /, "", line); sub(/,$/, "", line)
		return line ~ /^"/ ? text(substr(line, 2, length(line) - 2)) : line
	}
	function side(name) { return kind[name] "\n" what[name] "\n" mode[name] " " uid[name] ":" gid[name] }
	/^  "steps": \[$/ { inside = 1; number = 0; next }
	/^  "make": \[$/ { making = 1; next }
	/^  \]/ { inside = making = 0 }
	making { odd = 0; sub(/^ *"/, ""); sub(/",?$/, ""); dir = text($0); if (!odd) made[dirs++] = dir }
	!inside { next }
	/^    \{/ { split("", kind); attributes = ""; odd = 0 }
	/^      "target": / { target = value($0) }
	/^      "(pre|post)": / {
		now = $0; sub(/^ *"/, "", now); sub(/".*/, "", now)
		kind[now] = "absent"; what[now] = mode[now] = uid[now] = gid[now] = "-"
		time[now] = "-"
	}
	/^        "link": / { kind[now] = "link" }
	/^        "file": / { kind[now] = "file" }
	/^          "(to|sha256)": / { what[now] = value($0) }
	/^          "mode": / { mode[now] = value($0); sub(/^00?0?/, "", mode[now]) }
	/^          "uid": / { uid[now] = value($0) }
	/^          "gid": / { gid[now] = value($0) }
	/^          "unkept": true/ { kind[now] = "unkept" }
	/^          "mtime": \[/ { times = 1; next }
	/^          "xattrs": \{$/ { named = 1; next }
	/^          []}]/ { times = named = 0 }
	times { t = $0; gsub(/[ ,]/, "", t); time[now] = time[now] == "-" ? t : time[now] sprintf(".%09d", t) }
	named && now == "pre" {
		a = $0; sub(/^ *"/, "", a); sub(/",?$/, "", a)
		match(a, /": "[0-9a-f]*$/)
		attributes = attributes text(substr(a, 1, RSTART - 1)) "=0x" substr(a, RSTART + 4) "\t"
	}
	/^    \}/ && asked == "steps" {
		if (odd) kind["pre"] = "odd"
		printf "%04d\n%s\n%s\n%s\n", number++, target, side("pre"), time["pre"]
		printf "%s\n%s\n", attributes == "" ? "-" : attributes, side("post")
	}
	END { while (asked == "make" && dirs--) print made[dirs] }
	' "$2"
}

# Whether no directory on the way to $1 is a link, which could lead out of the system.
plain_way() {
	way=
	rest_of_way=${1%/*}
	[ "$rest_of_way" = "$1" ] && return 0
	while [ -n "$rest_of_way" ]; do
		part=${rest_of_way%%/*}
		case $part in .. | .) return 1 ;; esac
		way=$way/$part
		[ -L "$root$way" ] && return 1
		[ "$part" = "$rest_of_way" ] && return 0
		rest_of_way=${rest_of_way#*/}
	done
}

sum() {
	sha256sum | cut -c1-64
}

# Whether the file $1 is what a side says: its kind, the link's target or the file's sum, and, where it is
# given, the file's mode and owner.
is() {
	case $2 in
	absent) [ ! -e "$1" ] && [ ! -L "$1" ] ;;
	link) [ -L "$1" ] && [ "$(readlink "$1")" = "$3" ] ;;
	file | unkept)
		[ -f "$1" ] && [ ! -L "$1" ] && [ "$(sum <"$1")" = "$3" ] &&
			{ [ -z "${4-}" ] || [ "$(stat -c '%a %u:%g' "$1")" = "$4" ]; }
		;;
	*) false ;;
	esac
}

# Whether the record $1 is whole: its last line has the sum of the others.
intact() {
	[ -f "$1" ] && [ "sha256 $(sed '$d' "$1" | sum)" = "$(tail -n 1 "$1")" ]
}

# Gives the file $1 the attributes before, where $2 is set; `lacking` are those that it has not then.
attributes() {
	lacking=
	[ "$pre_attributes" != - ] || return 0
	set -f
	for attribute in $(printf '%s' "$pre_attributes" | tr '\t' '\n'); do
		[ "${2-}" != set ] || setfattr -n "${attribute%=*}" -v "${attribute##*=}" "$1" 2>/dev/null
		found=$(getfattr --absolute-names -e hex -n "${attribute%=*}" "$1" 2>/dev/null | sed -n 2p)
		[ "${found##*=}" = "${attribute##*=}" ] || lacking="$lacking ${attribute%=*}"
	done
	set +f
}

# Puts the kept bytes $1 at $2, complete before it has the name.
put() {
	new=$2.dv-rescue~
	if ! is "$1" file "$pre_what"; then
		say "the copy of /$target that the journal keeps is damaged or gone"
		return 1
	fi
	rm -f "$new" && cp "$1" "$new" && chown "${pre_rights#* }" "$new" || return 1
	# Without one it is better than the file that is there, and named.
	attributes "$new" set
	chmod "${pre_rights% *}" "$new" || return 1
	if [ "$pre_time" != - ]; then
		touch -d "@$pre_time" "$new" 2>/dev/null || touch -d "@${pre_time%.*}" "$new" || return 1
	fi
	sync
	# Behind a link there may be a directory, into which it would go.
	if [ -L "$2" ]; then rm -f "$2" || return 1; fi
	mv -f "$new" "$2"
}

take_back() {
	if ! is "$live" "$pre_kind" "$pre_what" "$pre_rights"; then
		if ! is "$live" "$post_kind" "$post_what" "$post_rights"; then
			# An earlier operation may know it as it is.
			settle "was changed since, and stays"
			return
		fi
		mkdir -p "${live%/*}" || {
			leave "/$target could not be put back"
			return
		}
		case $pre_kind in
		absent) rm -f "$live" ;;
		link) rm -f "$live" && ln -s -- "$pre_what" "$live" ;;
		*) put "$record/pre/$number" "$live" ;;
		esac || {
			leave "/$target could not be put back"
			return
		}
		restored=$((restored + 1))
		say "/$target is as before"
	fi
	settle
	attributes "$live"
	[ -z "$lacking" ] || settle "lacks attributes:$lacking (setfattr sets them, getfattr tells)"
}

# Removes what an operation that was interrupted left beside the target: a file that it was writing, and one
# that is as before or after it. Anything else there may be somebody's edit, and stays.
sweep() {
	beside=${live%/*}
	name=${live##*/}
	case $target in
	etc/libvirt/hooks/*/*)
		name=${beside##*/}.$name
		beside=${beside%/*}
		;;
	esac
	rm -f "$live.dv-rescue~" "$beside/.$name.dv-"[0-9]*.new~
	for work in "$beside/.$name.dv-"[0-9]*.swp~; do
		if is "$work" "$pre_kind" "$pre_what" "$pre_rights" ||
			is "$work" "$post_kind" "$post_what" "$post_rights"; then
			rm -f "$work"
		fi
	done
}

# Takes the target from the list of those that are amiss; with words, it is there with them.
settle() {
	others=
	set -f
	for other in $amiss; do
		[ "${other%%"$tab"*}" = "$target" ] || others=$others$other$newline
	done
	set +f
	amiss=$others${1+$target$tab$1$newline}
}

take_back_plan() {
	record=${1%/plan.json}
	if ! steps=$(read_plan steps "$1") || ! made=$(read_plan make "$1"); then
		leave "$1 could not be read: nothing of it is taken back"
		return
	fi
	set -f
	# shellcheck disable=SC2086 # A field each.
	set -- $steps
	set +f
	while [ $# -gt 0 ]; do
		number=$1 target=$2 pre_kind=$3 pre_what=$4 pre_rights=$5 pre_time=$6 pre_attributes=$7
		post_kind=$8 post_what=$9
		shift 9
		post_rights=$1
		shift
		live=$root/$target
		if [ "$pre_kind" = odd ] || ! plain_way "$target"; then
			leave "/$target has a name or a way there that this script does not follow"
			continue
		fi
		[ "$todo" = sweep ] || take_back
		sweep
	done
	set -f
	for dir in $made; do
		plain_way "$dir/x" && rmdir "$root/$dir" 2>/dev/null
	done
	set +f
}

# Runs a program of the system in it.
within() {
	if [ -z "$root" ]; then
		"$@"
		return
	fi
	mounted=
	trap 'unmount; exit 130' HUP INT TERM
	for dir in dev dev/pts proc sys run; do
		[ -d "$root/$dir" ] && mount -o bind "/$dir" "$root/$dir" && mounted=$dir$newline$mounted
	done
	chroot "$root" "$@"
	status=$?
	unmount
	return $status
}

unmount() {
	for dir in $mounted; do
		umount "$root/$dir" || umount -l "$root/$dir"
	done
	mounted=
	trap - HUP INT TERM
}

rebuild_all() {
	failed=0
	if [ -x "$root/usr/sbin/update-initramfs" ]; then
		within /usr/sbin/update-initramfs -u -k all || failed=1
	elif [ -x "$root/usr/bin/dracut" ]; then
		within /usr/bin/dracut --regenerate-all --force || failed=1
	else
		say "there is no update-initramfs: build the initial RAM file systems by hand"
		failed=1
	fi
	if [ -x "$root/usr/sbin/update-grub" ]; then
		within /usr/sbin/update-grub || failed=1
	else
		say "there is no update-grub: make the boot menu by hand"
		failed=1
	fi
	for file in boot/grub/grubenv boot/efi/EFI/deploy-vfio.grubenv efi/EFI/deploy-vfio.grubenv; do
		if grep -q '^dv_' "$root/$file" 2>/dev/null; then
			within /usr/bin/grub-editenv "/$file" unset dv_next unset dv_tried || failed=1
		fi
	done
	# The menu and the images are whole now: what an operation that was interrupted left there goes.
	[ "$failed" = 1 ] || rm -f "$root"/boot/.*.dv-[0-9]*[0-9].???~ "$root"/boot/grub/.*.dv-[0-9]*[0-9].???~
	return $failed
}

# What a run of this script that was killed left.
find "$root/etc" "$root/usr/local" "$root/usr/lib/dracut" -name '?*.dv-rescue~' -type f -exec rm -f {} \; \
	2>/dev/null
for number in $newest_first; do
	look_at "$number"
	[ -n "$todo" ] || continue
	operation=$state/tx/$number
	say "operation $number"
	set --
	# What an undo displaced is in its own record.
	[ "$todo" = take ] || set -- "$operation"/undo-*/plan.json
	for plan in "$@" "$operation"/redo-*/plan.json "$operation/plan.json"; do
		if intact "$plan"; then
			take_back_plan "$plan"
		elif [ -e "$plan" ] || [ "$plan" = "$operation/plan.json" ]; then
			leave "the record of operation $number is damaged or gone: nothing of it is taken back"
		fi
	done
done
sync
set -f
for line in $amiss; do
	leave "/${line%%"$tab"*} ${line#*"$tab"}"
done
for number in $aside; do
	leave "the record of operation ${number%%.*} was set aside: what is left of that is unknown, and stays"
done
works=$(find "$root/etc" "$root/usr/local" "$root/usr/lib/dracut" \
	\( -name '.?*.dv-[0-9]*.swp~' -o -name '?*.dv-rescue~' \) 2>/dev/null)
for work in $works; do
	leave "${work#"$root"} was left there when deploy-vfio was interrupted, and stays"
done
set +f
say "$restored files are as before, $left stay"
[ "$restored" = 0 ] ||
	say "the journal does not know of this: \`deploy-vfio undo --all --restore\` tells it, once that runs"
built=0
if [ -n "$rebuild" ]; then
	rebuild_all || built=1
	sync
fi
[ "$left" = 0 ] || exit 4
exit "$built"
