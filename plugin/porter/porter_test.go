package porter

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	k8syaml "sigs.k8s.io/yaml"

	"github.com/serviceconnections/function-service-connections/plugin/manifest"
	"github.com/serviceconnections/function-service-connections/test/schema"
)

var update = flag.Bool("update", false, "rewrite the golden files in testdata")

// defaults are what the command has when no flag is set.
var defaults = Options{WorkloadName: "<app>-<service>"}

func read(t *testing.T, content string) *manifest.File {
	t.Helper()
	f, err := manifest.Read(manifest.Stdin, strings.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	f.Name = "porter.yaml"
	return f
}

// written ServiceConnections, as YAML.
func written(t *testing.T, r *Result) string {
	t.Helper()
	b := &bytes.Buffer{}
	if err := r.Write(b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func remarks(rs []Remark) []string {
	if len(rs) == 0 {
		return nil
	}
	lines := make([]string, len(rs))
	for i, r := range rs {
		lines[i] = fmt.Sprintf("%d:%d: %s", r.Line, r.Column, r.Message)
	}
	return lines
}

// TestFiles imports files as teams have them, and holds what comes out to the
// schema of both packages.
func TestFiles(t *testing.T) {
	t.Parallel()

	inputs, err := filepath.Glob("testdata/*.porter.yaml")
	if err != nil || len(inputs) == 0 {
		t.Fatalf("no files in testdata: %v", err)
	}
	validators := []*schema.Validator{
		schema.New(schema.Defined(t, "../../package/configuration/definition.yaml")...),
		schema.New(schema.Defined(t, "../../package/configuration-claims/definition.yaml")...),
	}
	for _, input := range inputs {
		t.Run(filepath.Base(input), func(t *testing.T) {
			t.Parallel()

			f, err := manifest.Read(input, nil)
			if err != nil {
				t.Fatal(err)
			}
			o := defaults
			o.Namespace = "team-a"
			result, err := Import(f, o)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]string(nil), remarks(result.Problems)); diff != "" {
				t.Errorf("the file is one that Porter takes: -want problems, +got:\n%s", diff)
			}
			got := written(t, result)
			golden := strings.TrimSuffix(input, ".porter.yaml") + ".golden.yaml"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("Import(%s): -want, +got:\n%s\nTo accept it: go test ./plugin/porter -update", input, diff)
			}
			for document := range strings.SplitSeq(got, "\n---\n") {
				o := map[string]any{}
				if err := k8syaml.Unmarshal([]byte(document), &o); err != nil {
					t.Fatal(err)
				}
				for _, v := range validators {
					if errs := v.Validate(o); len(errs) > 0 {
						t.Errorf("the API server would refuse what comes out: %v", errs.ToAggregate())
					}
				}
			}
		})
	}
}

func TestImport(t *testing.T) {
	t.Parallel()

	// service named api with the supplied connections.
	service := func(connections string) string {
		return "version: v2\nname: shop\nservices:\n- name: api\n  type: web\n  connections:\n" + connections
	}
	claim := func(name, services string) string {
		return modeline("") + "\napiVersion: serviceconnections.io/v1alpha1\nkind: ServiceConnection\nmetadata:\n  name: " + name + "\nspec:\n  services:\n" + services
	}
	workload := func(kind, name string) string {
		apiVersion := "apps/v1"
		if kind == "CronJob" {
			apiVersion = "batch/v1"
		}
		return "    workload:\n      apiVersion: " + apiVersion + "\n      kind: " + kind + "\n      name: " + name + "\n"
	}

	cases := map[string]struct {
		reason  string
		content string
		options Options
		want    string
		// problems and notes, with their positions.
		problems, notes []string
	}{
		"Flat": {
			reason:  "A field that stands beside the type means the one under config.",
			content: service("  - diskName: cache\n    mountPath: /cache\n    type: disk\n"),
			options: defaults,
			problems: []string{
				`8:5: services[0].connections[0].mountPath: Forbidden: unknown field; the fields here are type, name, config`,
			},
		},
		"Nested": {
			reason:  "A field that stands under config means the one beside the type.",
			content: service("  - type: awsRole\n    config: {role: my-role}\n"),
			options: defaults,
			want:    claim("shop", "  - name: api\n"+workload("Deployment", "shop-api")+"    connections:\n    - type: awsRole\n      role: my-role\n"),
		},
		"InBothPlaces": {
			reason:  "Nobody can say which of two values is meant.",
			content: service("  - type: awsRole\n    role: a-role\n    config: {role: my-role}\n"),
			options: defaults,
			problems: []string{
				"9:5: services[0].connections[0].config: Forbidden: config is not a field of awsRole",
			},
		},
		"Mistakes": {
			reason: "Each mistake is told where it is, and the other connections are taken over.",
			content: service(`  - type: awsRole
    role: "not a role"
  - type: cloudSql
    config:
      cloudSqlConnectionName: my-project-123456:europe-west1:orders
      cloudSqlDatabasePort: "5432"
  - {type: gcpServiceAccount, serviceAccountEmail: orders-api@my-project-123456.iam.gserviceaccount.com}
  - none
  - type: gcpServiceAccount
    serviceAccountEmail: other@my-project-123456.iam.gserviceaccount.com
`),
			options: defaults,
			want: claim("shop", "  - name: api\n"+workload("Deployment", "shop-api")+
				"    connections:\n    - type: gcpServiceAccount\n      serviceAccountEmail: orders-api@my-project-123456.iam.gserviceaccount.com\n"),
			problems: []string{
				`8:11: services[0].connections[0].role: Invalid value: "not a role": must be a role name of at most 64 letters, digits and +=,.@-_, or a role ARN such as arn:aws:iam::123456789012:role/name`,
				`11:7: services[0].connections[1].config.cloudSqlServiceAccount: Required value: config.cloudSqlServiceAccount is required for cloudSql`,
				`12:29: services[0].connections[1].config.cloudSqlDatabasePort: Invalid value: "5432": must be an integer`,
				`14:5: services[0].connections[3]: Invalid value: "none": must be an object`,
				`15:5: services[0].connections[4]: Duplicate value: {"name":"","type":"gcpServiceAccount"}: a service has one gcpServiceAccount, because its pods run as one ServiceAccount, which acts as one Google service account; put the other connection into a service with a workload of its own, or grant both to one account`,
			},
		},
		"UnknownType": {
			reason:  "A type that doesn't exist is told along with those that do.",
			content: service("  - type: cloudsql\n    config: {}\n"),
			options: defaults,
			problems: []string{
				`7:11: services[0].connections[0].type: Unsupported value: "cloudsql": supported values: "awsRole", "azureManagedIdentity", "cloudSql", "disk", "gcpServiceAccount"`,
			},
		},
		"ServiceWithoutName": {
			reason:  "A service that has no name can't be named.",
			content: "version: v2\nname: shop\nservices:\n- type: web\n  connections: [{type: awsRole, role: r}]\n- run: x\n",
			options: defaults,
			problems: []string{
				"4:3: services[0].name: Required value",
			},
		},
		"Workloads": {
			reason: "A job is a CronJob, by its type or by its name, and a flag overrules all.",
			content: "version: v2\nname: shop\nservices:\n" +
				"- {name: api, type: web, connections: [{type: awsRole, role: r}]}\n" +
				"- {name: report, type: job, connections: [{type: awsRole, role: r}]}\n" +
				"- {name: clean-job, connections: [{type: awsRole, role: r}]}\n" +
				"- {name: queue, type: worker, connections: [{type: awsRole, role: r}]}\n",
			options: Options{WorkloadName: "<service>", Workloads: map[string]Workload{"queue": {Kind: "StatefulSet", Name: "q"}}},
			want: claim("shop", "  - name: api\n    connections:\n    - type: awsRole\n      role: r\n"+
				"  - name: report\n"+workload("CronJob", "report")+"    connections:\n    - type: awsRole\n      role: r\n"+
				"  - name: clean-job\n"+workload("CronJob", "clean-job")+"    connections:\n    - type: awsRole\n      role: r\n"+
				"  - name: queue\n"+workload("StatefulSet", "q")+"    connections:\n    - type: awsRole\n      role: r\n"),
		},
		"Name": {
			reason:  "The ServiceConnection may have another name; the workloads keep the app's.",
			content: service("  - {type: awsRole, role: r}\n"),
			options: Options{WorkloadName: "<app>-<service>", Name: "connections"},
			want:    claim("connections", "  - name: api\n"+workload("Deployment", "shop-api")+"    connections:\n    - type: awsRole\n      role: r\n"),
		},
		"NameFromFlag": {
			reason:  "Porter takes the app's name from its environment too.",
			content: "version: v2\nservices:\n- name: api\n  connections: [{type: awsRole, role: r}]\n",
			options: Options{WorkloadName: "<app>-<service>", Name: "shop"},
			want:    claim("shop", "  - name: api\n"+workload("Deployment", "shop-api")+"    connections:\n    - type: awsRole\n      role: r\n"),
		},
		"Apps": {
			reason: "A file may hold several apps, and some have no connections.",
			content: "apps:\n- version: v2\n  name: one\n  services: [{name: api, connections: [{type: awsRole, role: r}]}]\n" +
				"- {version: v2, name: two, services: [{name: api}]}\n" +
				"- {version: v2, name: three, services: [{name: api, connections: [{type: awsRole, role: s}]}]}\n",
			options: defaults,
			want: claim("one", "  - name: api\n"+workload("Deployment", "one-api")+"    connections:\n    - type: awsRole\n      role: r\n") + "---\n" +
				claim("three", "  - name: api\n"+workload("Deployment", "three-api")+"    connections:\n    - type: awsRole\n      role: s\n"),
		},
		"Elsewhere": {
			reason: "Connections of what is no service aren't lost in silence.",
			content: "version: v2\nname: shop\npredeploy:\n  run: x\n  connections: [{type: awsRole, role: r}]\n" +
				"previews:\n  services:\n  - name: api\n    connections: [{type: awsRole, role: r}]\n",
			options: defaults,
			problems: []string{
				"5:16: predeploy has no service of its own here; add a service for its Job to the ServiceConnection by hand",
				"9:18: connections of previews are left out; make a ServiceConnection for the preview's own namespace by hand",
			},
		},
		"Disk": {
			reason:  "Where a disk is mounted is Porter's affair there, and the team's here.",
			content: service("  - {type: disk, config: {diskName: cache}}\n"),
			options: defaults,
			want:    claim("shop", "  - name: api\n"+workload("Deployment", "shop-api")+"    connections:\n    - type: disk\n      config:\n        diskName: cache\n"),
			notes: []string{
				`7:37: disk "cache" is mounted at /data/cache, which Porter doesn't promise; where the code expects another path, set config.mountPath`,
			},
		},
		"NoConnections": {
			reason:  "An app without connections needs nothing, not even a name.",
			content: "version: v2\nservices:\n- name: api\n  connections:\n- name: web\n",
			options: defaults,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			got, err := Import(read(t, tc.content), tc.options)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, written(t, got)); diff != "" {
				t.Errorf("\n%s\nImport(...): -want, +got:\n%s", tc.reason, diff)
			}
			if diff := cmp.Diff(tc.problems, remarks(got.Problems)); diff != "" {
				t.Errorf("\n%s\nImport(...): -want problems, +got:\n%s", tc.reason, diff)
			}
			if diff := cmp.Diff(tc.notes, remarks(got.Notes)); diff != "" {
				t.Errorf("\n%s\nImport(...): -want notes, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

func TestImportError(t *testing.T) {
	t.Parallel()

	cases := map[string]struct {
		reason  string
		content string
		options Options
		want    string
	}{
		"Broken": {
			reason:  "This stands in Porter's own documentation, with tabs.",
			content: "version: v2\nbuild:\n\tmethod: docker\n",
			want:    "porter.yaml:3:1 is not valid YAML: found character that cannot start any token",
		},
		"Empty": {
			reason:  "An empty file is none that was meant.",
			content: "# Nothing.\n",
			want:    "porter.yaml is empty; it must be a porter.yaml",
		},
		"NoMapping": {
			reason:  "Something else was given.",
			content: "- a\n",
			want:    "porter.yaml:1:1: a porter.yaml is a mapping with the keys version, name and services, not a list",
		},
		"Version1": {
			reason:  "Version 1 has other fields.",
			content: "version: v1stack\napps: {web: {run: x}}\n",
			want:    "porter.yaml:2:7: apps must be a list of apps, not a mapping; a porter.yaml of version v1 can't be read",
		},
		"OtherVersion": {
			reason:  "What a later version means isn't known.",
			content: "version: v3\nservices: []\n",
			want:    `porter.yaml:1:10: version is "v3"; only v2 has connections`,
		},
		"NoVersion": {
			reason:  "A file of another tool isn't taken for a porter.yaml.",
			content: "services: {api: {image: x}}\n",
			want:    "porter.yaml:1:1: version is missing; a porter.yaml that has connections says version: v2",
		},
		"NoName": {
			reason:  "The name is made up by nobody.",
			content: "version: v2\nservices: [{name: api, connections: [{type: awsRole, role: r}]}]\n",
			want:    "porter.yaml:1:1: the app has no name; give it one with --name",
		},
		"BadName": {
			reason:  "Kubernetes would refuse the name.",
			content: "version: v2\nname: Shop\nservices: [{name: api, connections: [{type: awsRole, role: r}]}]\n",
			want:    `porter.yaml:2:7: "Shop" can't be the name of a ServiceConnection: a lowercase RFC 1123 label must`,
		},
		"OneNameForTwo": {
			reason:  "Two ServiceConnections of one name would overwrite each other.",
			content: "apps:\n- {version: v2}\n- {version: v2}\n",
			options: Options{Name: "shop"},
			want:    "porter.yaml:2:1: there are 2 apps here, and --name can name one; leave it out",
		},
		"Two": {
			reason:  "Only one of two documents would be read.",
			content: "version: v2\n---\nversion: v2\n",
			want:    "porter.yaml:3:1: a porter.yaml is one document, and another begins here",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			_, err := Import(read(t, tc.content), tc.options)
			if err == nil || !strings.HasPrefix(err.Error(), tc.want) {
				t.Errorf("\n%s\nImport(...): want error %q, got %v", tc.reason, tc.want, err)
			}
		})
	}
}

// FuzzImport holds that no file, however broken, panics or hangs.
func FuzzImport(f *testing.F) {
	shop, err := os.ReadFile("testdata/shop.porter.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(shop))
	f.Add("apps: [{version: v2, name: a, services: [{name: b, connections: [{<<: [{type: disk}], diskName: [x]}]}]}]")
	f.Fuzz(func(t *testing.T, content string) {
		file, err := manifest.Read(manifest.Stdin, strings.NewReader(content))
		if err != nil {
			return
		}
		result, err := Import(file, defaults)
		if err != nil {
			return
		}
		// What is taken over can be written, and read again.
		for document := range strings.SplitSeq(written(t, result), "\n---\n") {
			o := map[string]any{}
			if err := k8syaml.Unmarshal([]byte(document), &o); err != nil {
				t.Errorf("what comes out isn't YAML: %v\n%s", err, document)
			}
		}
	})
}
