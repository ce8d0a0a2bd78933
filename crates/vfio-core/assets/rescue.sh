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

# The numbers of the operations in force, the newest first.
in_force() {
	newest_first=
	for operation in "$state"/tx/[0-9]*; do
		[ -d "$operation" ] && newest_first="${operation##*/} $newest_first"
	done
	for number in $newest_first; do
		case $(tail -n 1 "$state/tx/$number/journal" 2>/dev/null) in
		*'"state":"undone"'* | *'"state":"rolled-back"'*) ;;
		*) echo "$number" ;;
		esac
	done
}

if [ -n "$list" ]; then
	for number in $(in_force); do
		title=$(sed -n 's/^  "title": "\(.*\)",$/\1/p' "$state/tx/$number/plan.json")
		printf 'operation %s: %s\n' "$number" "$title"
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
edited=

say() {
	printf '%s\n' "rescue: $*"
}

leave() {
	left=$((left + 1))
	say "$*"
}

# Prints the steps of a plan, a field a line: number, target, and of each side its kind (absent, link,
# file, unkept), the link's target or the sum, mode, uid, gid, seconds, nanoseconds, attributes.
# The plan is JSON that we wrote ourselves: one member a line.
steps() {
	awk '
	function value(line, i, c, out) {
		sub(/^[^:]*: /, "", line); sub(/,$/, "", line)
		if (line !~ /^"/) return line
		line = substr(line, 2, length(line) - 2)
		out = ""
		while ((i = index(line, "\\")) > 0) {
			c = substr(line, i + 1, 1)
			if (c != "\"" && c != "\\") return "?"
			out = out substr(line, 1, i - 1) c
			line = substr(line, i + 2)
		}
		return out line
	}
	function side(name) {
		return kind[name] "\n" what[name] "\n" mode[name] "\n" uid[name] "\n" gid[name] "\n" \
			seconds[name] "\n" rest[name] "\n" (attributes[name] == "" ? "-" : attributes[name])
	}
	/^  "steps": \[/ { inside = 1; number = 0; next }
	/^  \]/ { inside = 0 }
	!inside { next }
	/^    \{/ { split("", kind); split("", attributes) }
	/^      "target": / { target = value($0) }
	/^      "(pre|post)": / {
		now = $0; sub(/^ *"/, "", now); sub(/".*/, "", now)
		kind[now] = "absent"; what[now] = mode[now] = uid[now] = gid[now] = "-"
		seconds[now] = rest[now] = "-"
	}
	/^        "link": / { kind[now] = "link" }
	/^        "file": / { kind[now] = "file" }
	/^          "(to|sha256)": / { what[now] = value($0) }
	/^          "mode": / { mode[now] = value($0) }
	/^          "uid": / { uid[now] = value($0) }
	/^          "gid": / { gid[now] = value($0) }
	/^          "unkept": true/ { kind[now] = "unkept" }
	/^          "mtime": \[/ { times = 1; next }
	/^          "xattrs": \{$/ { named = 1; next }
	/^          []}]/ { times = named = 0 }
	times { t = $0; gsub(/[ ,]/, "", t); if (seconds[now] == "-") seconds[now] = t; else rest[now] = t }
	named { a = $0; gsub(/[ ",]/, "", a); sub(/:/, "=0x", a); attributes[now] = attributes[now] a " " }
	/^    \}/ { printf "%04d\n%s\n%s\n%s\n", number++, target, side("pre"), side("post") }
	' "$1"
}

# The directories that an operation made, the deepest first.
made() {
	awk '
	/^  "make": \[/ { inside = 1; next }
	/^  \]/ { inside = 0 }
	inside { sub(/^ *"/, ""); sub(/",?$/, ""); if ($0 !~ /\\/) list[n++] = $0 }
	END { while (n--) print list[n] }
	' "$1"
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

# Whether the file $1 is what a side says: its kind, the link's target or the file's sum.
is() {
	case $2 in
	absent) [ ! -e "$1" ] && [ ! -L "$1" ] ;;
	link) [ -L "$1" ] && [ "$(readlink "$1")" = "$3" ] ;;
	file | unkept) [ -f "$1" ] && [ ! -L "$1" ] && [ "$(sum <"$1")" = "$3" ] ;;
	*) false ;;
	esac
}

# Whether the record $1 is whole: its last line has the sum of the others.
intact() {
	[ -f "$1" ] && [ "sha256 $(sed '$d' "$1" | sum)" = "$(tail -n 1 "$1")" ]
}

# Puts the kept bytes $1 at $2, complete before it has the name.
put() {
	new=$2.dv-rescue~
	if ! is "$1" file "$pre_what"; then
		say "the copy of /$target that the journal keeps is damaged or gone"
		return 1
	fi
	rm -f "$new" && cp "$1" "$new" && chown "$pre_uid:$pre_gid" "$new" || return 1
	if [ "$pre_attributes" != - ]; then
		for attribute in $pre_attributes; do
			setfattr -n "${attribute%%=*}" -v "${attribute#*=}" "$new" 2>/dev/null ||
				say "/$target: its attribute ${attribute%%=*} could not be set"
		done
	fi
	chmod "$pre_mode" "$new" || return 1
	if [ "$pre_seconds" != - ]; then
		nine=$(printf '%09d' "$pre_rest")
		touch -d "@$pre_seconds.$nine" "$new" 2>/dev/null || touch -d "@$pre_seconds" "$new" || return 1
	fi
	sync
	mv -f "$new" "$2"
}

take_back() {
	live=$root/$target
	before=$record/pre/$number
	if [ "$target" = '?' ] || ! plain_way "$target"; then
		leave "/$target has a name or a way there that this script does not follow"
		return
	fi
	if is "$live" "$pre_kind" "$pre_what"; then
		settle
		return
	fi
	if ! is "$live" "$post_kind" "$post_what"; then
		# An earlier operation may know it as it is.
		settle
		edited="$edited$target
"
		return
	fi
	mkdir -p "${live%/*}" || {
		leave "/$target could not be put back"
		return
	}
	case $pre_kind in
	absent) rm -f "$live" ;;
	link) rm -f "$live" && ln -s "$pre_what" "$live" ;;
	*) put "$before" "$live" ;;
	esac || {
		leave "/$target could not be put back"
		return
	}
	settle
	restored=$((restored + 1))
	say "/$target is as before"
}

# Removes what an operation that was interrupted left beside the target: a file that it was writing, and one
# that is as before or after it. Anything else there may be somebody's edit, and stays.
sweep() {
	plain_way "$target" || return
	beside=${live%/*}
	name=${live##*/}
	case $target in
	etc/libvirt/hooks/*/*)
		name=${beside##*/}.$name
		beside=${beside%/*}
		;;
	esac
	rm -f "$beside/.$name.dv-"[0-9]*.new~
	for work in "$beside/.$name.dv-"[0-9]*.swp~; do
		if is "$work" "$pre_kind" "$pre_what" || is "$work" "$post_kind" "$post_what"; then
			rm -f "$work"
		fi
	done
}

# Takes the target from the list of those that are in no state we know.
settle() {
	others=
	while IFS= read -r other; do
		[ -n "$other" ] && [ "$other" != "$target" ] && others="$others$other
"
	done <<-END
		$edited
	END
	edited=$others
}

take_back_plan() {
	record=${1%/plan.json}
	# Not in a pipe: the counts would be lost.
	steps "$1" >"$state/.rescue~"
	while IFS= read -r number; do
		IFS= read -r target
		IFS= read -r pre_kind && IFS= read -r pre_what && IFS= read -r pre_mode
		IFS= read -r pre_uid && IFS= read -r pre_gid && IFS= read -r pre_seconds
		IFS= read -r pre_rest && IFS= read -r pre_attributes
		IFS= read -r post_kind && IFS= read -r post_what
		for _ in mode uid gid seconds rest attributes; do IFS= read -r _; done
		take_back </dev/null
		sweep </dev/null
	done <"$state/.rescue~"
	made "$1" >"$state/.rescue~"
	while IFS= read -r dir; do
		plain_way "$dir/x" && rmdir "$root/$dir" 2>/dev/null
	done <"$state/.rescue~"
	rm -f "$state/.rescue~"
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
		[ -d "$root/$dir" ] && mount -o bind "/$dir" "$root/$dir" && mounted="$dir $mounted"
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

for number in $(in_force); do
	operation=$state/tx/$number
	say "operation $number"
	for plan in "$operation"/redo-*/plan.json "$operation/plan.json"; do
		if intact "$plan"; then
			take_back_plan "$plan"
		elif [ -e "$plan" ] || [ "$plan" = "$operation/plan.json" ]; then
			leave "the record of operation $number is damaged or gone: nothing of it is taken back"
		fi
	done
done
sync
while IFS= read -r target; do
	[ -n "$target" ] && leave "/$target was changed since, and stays"
done <<END
$edited
END
while IFS= read -r work; do
	[ -n "$work" ] && leave "${work#"$root"} was left there when deploy-vfio was interrupted, and stays"
done <<END
$(find "$root/etc" "$root/usr/local" "$root/usr/lib/dracut" -name '.?*.dv-[0-9]*.swp~' 2>/dev/null)
END
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
