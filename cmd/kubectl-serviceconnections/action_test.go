package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestAction runs what the GitHub Action runs, with a gh that writes down what it is
// asked: first on what connects, and then beside a claim that would not.
func TestAction(t *testing.T) {
	t.Parallel()
	s := newShell(t, "../../docs/plugin/example")
	script, err := filepath.Abs("../../action/preview.sh")
	if err != nil {
		t.Fatal(err)
	}
	const gh = "#!/bin/sh\necho \"gh $*\" > asked.txt\nwhile [ \"$1\" != --body-file ]; do shift; done\ncp \"$2\" comment.md\n"
	bin, _, _ := strings.Cut(strings.TrimPrefix(s.env[0], "PATH="), ":")
	if err := os.WriteFile(filepath.Join(bin, "gh"), []byte(gh), 0o700); err != nil {
		t.Fatal(err)
	}
	s.run(t, "kubectl serviceconnections import porter.yaml -n team-a | sed 's/role: reports/role: my-app-reports/' > good.yaml; sed s/my-app-s3-access/somebody-elses/ good.yaml > bad.yaml")
	const always = "SETTINGS=settings.yaml GITHUB_STEP_SUMMARY=summary.md PULL_REQUEST=https://github.com/o/r/pull/1 "

	if out := s.run(t, always+"FILES=good.yaml WORKLOADS=deployment.yaml sh "+script); strings.Contains(out, "[exit code") {
		t.Errorf("what connects must pass:\n%s", out)
	}
	if out := s.run(t, "cat asked.txt"); !strings.Contains(out, "[exit code") {
		t.Errorf("nobody asked for a comment:\n%s", out)
	}
	if out := s.run(t, "cat summary.md"); !strings.Contains(out, "### good.yaml\n\n```mermaid\nflowchart") {
		t.Errorf("the summary must have the picture:\n%s", out)
	}

	out := s.run(t, always+"COMMENT=true FILES='good.yaml bad.yaml' sh "+script)
	if !strings.Contains(out, "NotAllowed") || !strings.HasSuffix(out, "[exit code 1]\n") {
		t.Errorf("what would not connect must fail, and say why:\n%s", out)
	}
	if out := s.run(t, "cat asked.txt"); !strings.HasPrefix(out, "gh pr comment https://github.com/o/r/pull/1 --edit-last --create-if-none") {
		t.Errorf("one comment must be kept up to date:\n%s", out)
	}
	if out := s.run(t, "cat comment.md"); strings.Count(out, "```mermaid\nflowchart") != 2 {
		t.Errorf("the comment must have both pictures:\n%s", out)
	}
}
