#!/bin/bash
# SPDX-License-Identifier: MIT
# git: gc, a repack, fsck and reading everything back, on a generated repository of 600 commits
# (quick: 200) on two branches. Packing searches deltas on two threads. With one thread a pack is
# determined by its contents, so that the names of the packs (their digests) can be compared too.
. "$(dirname "$0")/lib.sh"
need git git
commits=$([ "$MODE" = quick ] && echo 200 || echo 600)

export HOME=$WORK GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null GIT_PAGER=cat

# 120 files; each commit rewrites eight of them, changing some of their lines.
generate() {
    awk -v commits="$commits" '
    function random(n) { s = (s * 16807) % 2147483647; return s % n }
    function data(text) { printf "data %d\n%s\n", length(text), text }
    BEGIN {
        s = 4711
        for (c = 1; c <= commits; c++) {
            branch = c % 5 ? "main" : "side"
            printf "commit refs/heads/%s\nmark :%d\n", branch, c
            printf "author A <a@example.org> %d +0000\n", 1600000000 + c * 60
            printf "committer A <a@example.org> %d +0000\n", 1600000000 + c * 60
            data("Change number " c)
            if (c == 5) print "from :4"
            else if (c % 50 == 1 && c > 50) printf "merge :%d\n", c - 1
            for (f = 0; f < 8; f++) {
                n = random(120)
                text = ""
                for (l = 0; l < 60; l++)
                    text = text sprintf("file %d line %d %s\n", n, l,
                                        random(6) ? "constant" : "changed in " c " to " random(99999))
                printf "M 100644 inline dir%d/file%d.txt\n", n % 7, n
                data(text)
            }
            print ""
        }
        print "done"
    }'
}
git init -q -b main "$WORK/source"
generate | git -C "$WORK/source" fast-import --quiet --done

contents() { # PLACE REPOSITORY: all objects by name, type and size; every patch of both branches
    "$1" git -C "$2" cat-file --batch-all-objects --batch-check
    "$1" git -C "$2" log --all --date-order -p --stat
}

for place in glibc freehold; do
    cp -r "$WORK/source" "$WORK/$place"
    on_$place git -C "$WORK/$place" -c gc.pruneExpire=now -c pack.threads=2 -c gc.reflogExpire=now \
        gc --quiet --aggressive
    on_$place git -C "$WORK/$place" fsck --full --strict >"$WORK/$place.fsck" 2>&1
    contents on_$place "$WORK/$place" >"$WORK/$place.contents"
    on_$place git -C "$WORK/$place" -c pack.threads=1 repack -q -a -d -f --window=20
    (cd "$WORK/$place/.git/objects/pack" && sha256sum -- *.pack) >"$WORK/$place.packs"
    on_$place git clone -q --no-local "$WORK/$place" "$WORK/$place-clone"
    git -C "$WORK/$place-clone" ls-files -s >"$WORK/$place.clone"
done

git -C "$WORK/freehold" fsck --full --strict >"$WORK/fsck" 2>&1 || fail "fsck: $(head -5 "$WORK/fsck")"
is "$(git -C "$WORK/freehold" rev-list --all --count)" "$commits" "commits"
is "$(git -C "$WORK/freehold" count-objects | cut -d' ' -f1)" 0 "loose objects"
is "$(wc -c <"$WORK/freehold.fsck")" 0 "bytes of complaints from fsck"
same "$WORK/glibc.contents" "$WORK/freehold.contents" "objects and patches"
same "$WORK/glibc.packs" "$WORK/freehold.packs" "packs"
same "$WORK/glibc.clone" "$WORK/freehold.clone" "clone"
counted git 100000
