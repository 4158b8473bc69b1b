#!/bin/sh
# What action.yml runs: a preview of all of $FILES, with its exit code, and the picture
# of each in the job's summary and, if $COMMENT is true, as one comment for $KEY of the pull
# request whose comments are at $COMMENTS.
set -eu

# marker of our comment, which nobody sees. All workflows comment as the same bot, so it has
# a number made of the key, which may hold anything.
marker='<!-- serviceconnections preview -->'
if [ -n "${KEY:-}" ]; then
	marker="<!-- serviceconnections preview $(printf %s "$KEY" | cksum | cut -d ' ' -f 1) -->"
fi

# A comment has 65,536 characters at most.
longest=65000

set --
for file in $FILES; do set -- "$@" -f "$file"; done
for workload in ${WORKLOADS:-}; do set -- "$@" --workload "$workload"; done
code=0
CLICOLOR_FORCE=1 kubectl-serviceconnections preview --settings "$SETTINGS" "$@" || code=$?

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for file in $FILES; do
	printf '### %s\n\n```mermaid\n' "$file"
	kubectl-serviceconnections graph -f "$file" || echo '%% It has no picture; the log says why.'
	printf '```\n\n'
done > "$work/pictures.md"
cat "$work/pictures.md" >> "${GITHUB_STEP_SUMMARY:-/dev/null}"

# comment once, and write that anew from then on.
comment() {
	{
		echo "$marker"
		if [ "$(wc -c < "$work/pictures.md")" -lt $longest ]; then
			cat "$work/pictures.md"
		else
			echo 'The pictures are too large for a comment; they are in the summary of the job.'
		fi
	} > "$work/comment.md"
	ours=$(gh api --paginate "$COMMENTS" --jq ".[] | select(.user.type == \"Bot\" and (.body | startswith(\"$marker\"))) | .url") || return
	if [ -n "$ours" ]; then
		gh api --silent --method PATCH "$(echo "$ours" | tail -n 1)" -F body=@"$work/comment.md"
	else
		gh api --silent --method POST "$COMMENTS" -F body=@"$work/comment.md"
	fi
}

if [ "${COMMENT:-}" = true ] && [ -n "${COMMENTS:-}" ]; then
	# The token of a pull request from a fork may write nothing, which is no fault of the
	# files.
	comment || echo '::warning::The pictures could not be commented; they are in the summary of the job. It takes the permission pull-requests: write, which pull requests from forks never have.'
fi
exit "$code"
