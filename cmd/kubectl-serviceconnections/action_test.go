package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/serviceconnections/function-service-connections/test/inputs"
	"github.com/serviceconnections/function-service-connections/test/modules"
)

// gh stands in for GitHub's CLI: gh api lists what is in comments.json by the filter
// that it is given, and keeps what it is to write, and where.
const gh = `#!/bin/sh
[ "$1" = api ] || exit 64
shift
[ -z "$GH_FAILS" ] || { echo 'HTTP 403: Resource not accessible by integration' >&2; exit 1; }
while [ $# -gt 0 ]; do
	case $1 in
	--paginate | --silent) ;;
	--jq) filter=$2; shift ;;
	--method) method=$2; shift ;;
	-F) body=${2#body=@}; shift ;;
	*) url=$1 ;;
	esac
	shift
done
case ${method:-GET} in
GET) gojq -r "$filter" comments.json ;;
*) echo "$method $url" >> asked.txt; cp "$body" comment.md ;;
esac
`

// comments of a pull request, as the API lists them: of others, and as others would have
// them if they quoted ours.
const comments = `[
	{"url": "https://api.github.com/repos/o/r/issues/comments/1", "user": {"type": "Bot"}, "body": "Coverage: 90%"},
	{"url": "https://api.github.com/repos/o/r/issues/comments/2", "user": {"type": "User"}, "body": "<!-- serviceconnections preview -->\nmine"},
	{"url": "https://api.github.com/repos/o/r/issues/comments/3", "user": null, "body": "who was it?"}OURS
]`

// putTool into the folder of a shell's programs.
func (s shell) putTool(t *testing.T, name, text string) {
	t.Helper()
	bin, _, _ := strings.Cut(strings.TrimPrefix(s.env[0], "PATH="), ":")
	if err := os.WriteFile(filepath.Join(bin, name), []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
}

// actionsTool that tools/actions pins.
func actionsTool(t *testing.T, name string) string {
	t.Helper()
	path, err := modules.Tool(t.Context(), "actions", name)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// TestAction runs what the GitHub Action runs: on what connects, and then beside a claim
// that would not.
func TestAction(t *testing.T) {
	t.Parallel()
	s := newShell(t, "../../docs/plugin/example")
	if err := inputs.Read("../../action"); err != nil {
		t.Fatal(err)
	}
	script, err := filepath.Abs("../../action/preview.sh")
	if err != nil {
		t.Fatal(err)
	}
	s.putTool(t, "gh", gh)
	s.putTool(t, "gojq", "#!/bin/sh\nexec "+actionsTool(t, "gojq")+" \"$@\"\n")
	s.run(t, "kubectl serviceconnections import porter.yaml -n team-a | sed 's/role: reports/role: my-app-reports/' > good.yaml; sed s/my-app-s3-access/somebody-elses/ good.yaml > bad.yaml")
	before := func(ours string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(s.dir, "comments.json"), []byte(strings.ReplaceAll(comments, "OURS", ours)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	before("")
	const always = "SETTINGS=settings.yaml GITHUB_STEP_SUMMARY=summary.md COMMENTS=https://api.github.com/repos/o/r/issues/1/comments "

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
	if out := s.run(t, "cat asked.txt"); out != "POST https://api.github.com/repos/o/r/issues/1/comments\n" {
		t.Errorf("where there are comments of others only, there must be one of ours:\n%s", out)
	}
	if out := s.run(t, "cat comment.md"); strings.Count(out, "```mermaid\nflowchart") != 2 || !strings.HasPrefix(out, "<!-- serviceconnections preview -->\n") {
		t.Errorf("the comment must have both pictures, and what it is found by:\n%s", out)
	}

	before(`, {"url": "https://api.github.com/repos/o/r/issues/comments/4", "user": {"type": "Bot"}, "body": "<!-- serviceconnections preview -->\nas it was"}, ` +
		`{"url": "https://api.github.com/repos/o/r/issues/comments/5", "user": {"type": "Bot"}, "body": "<!-- serviceconnections preview 2425137664 -->\nof another key"}`)
	s.run(t, "rm asked.txt; "+always+"COMMENT=true FILES=good.yaml sh "+script)
	if out := s.run(t, "cat asked.txt"); out != "PATCH https://api.github.com/repos/o/r/issues/comments/4\n" {
		t.Errorf("the comment that is there must be kept up to date, and nobody else's:\n%s", out)
	}

	for _, tc := range []struct{ key, want string }{
		{"staging", "PATCH https://api.github.com/repos/o/r/issues/comments/5\n"},
		{"stag", "POST https://api.github.com/repos/o/r/issues/1/comments\n"},
		{`x --> "$(id)"`, "POST https://api.github.com/repos/o/r/issues/1/comments\n"},
	} {
		s.run(t, "rm asked.txt; "+always+"KEY='"+tc.key+"' COMMENT=true FILES=good.yaml sh "+script)
		if out := s.run(t, "cat asked.txt"); out != tc.want {
			t.Errorf("two workflows of a pull request must keep a comment each, and that of key %s:\n%s", tc.key, out)
		}
		if out := s.run(t, "head -n 1 comment.md"); strings.Contains(out, "$(") || strings.Count(out, "-->") != 1 {
			t.Errorf("a key must not end the comment that nobody sees, nor the filter:\n%s", out)
		}
	}

	out = s.run(t, "rm asked.txt; "+always+"GH_FAILS=yes COMMENT=true FILES=good.yaml sh "+script)
	if strings.Contains(out, "[exit code") || !strings.Contains(out, "::warning::") {
		t.Errorf("who may not comment must still be told whether the files are well:\n%s", out)
	}
}

// TestActionBuilds the plugin as the Action does, from the folder that it is in.
func TestActionBuilds(t *testing.T) {
	t.Parallel()
	if err := inputs.Read("../.."); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "path")
	build := exec.CommandContext(t.Context(), "sh", "../../action/build.sh")
	build.Env = append(os.Environ(), "RUNNER_TEMP="+dir, "GITHUB_PATH="+path, "VERSION=v1.2.3")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("cannot build: %v\n%s", err, out)
	}
	bin, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	version, err := exec.CommandContext(t.Context(), filepath.Join(strings.TrimSpace(string(bin)), "kubectl-serviceconnections"), "--version").CombinedOutput()
	if want := "kubectl serviceconnections version v1.2.3\n"; err != nil || string(version) != want {
		t.Errorf("the plugin that is built: want %q, got %q, %v", want, version, err)
	}
}

// TestHook runs what pre-commit runs, with the arguments of the documentation's example.
func TestHook(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../.pre-commit-hooks.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var hooks []struct {
		ID, Entry, Language string
		PassFilenames       *bool `json:"pass_filenames"`
	}
	if err := yaml.Unmarshal(text, &hooks); err != nil || len(hooks) != 1 || hooks[0].Language != "golang" || hooks[0].PassFilenames == nil || *hooks[0].PassFilenames {
		t.Fatalf("want one hook, which pre-commit builds by Go and gives no files, got %+v: %v", hooks, err)
	}
	document, err := os.ReadFile("../../docs/plugin/README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, example, _ := strings.Cut(string(document), "```yaml\nrepos:\n")
	example, _, _ = strings.Cut(example, "```")
	var repos []struct {
		Hooks []struct {
			ID   string
			Args []string
		}
	}
	if err := yaml.Unmarshal([]byte(example), &repos); err != nil || len(repos) != 1 || len(repos[0].Hooks) != 1 || repos[0].Hooks[0].ID != hooks[0].ID {
		t.Fatalf("the documentation has no example of hook %s: %v\n%s", hooks[0].ID, err, example)
	}
	s := newShell(t, "../../docs/plugin/example")
	command := hooks[0].Entry + " " + strings.Join(repos[0].Hooks[0].Args, " ")
	s.run(t, "mkdir deploy; kubectl serviceconnections import porter.yaml -n team-a | sed 's/role: reports/role: my-app-reports/' > deploy/serviceconnection.yaml")
	if out := s.run(t, command); strings.Contains(out, "[exit code") {
		t.Errorf("what connects may be committed: %s\n%s", command, out)
	}
	s.run(t, "sed -i.was s/my-app-s3-access/somebody-elses/ deploy/serviceconnection.yaml")
	if out := s.run(t, command); !strings.Contains(out, "NotAllowed") || !strings.HasSuffix(out, "[exit code 1]\n") {
		t.Errorf("what would not connect must not: %s\n%s", command, out)
	}
}
