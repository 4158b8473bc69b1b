package workload

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/serviceconnections/function-service-connections/fn/claim"
)

// proxy as the function makes it, but for what no rule here looks at.
func proxy() claim.Sidecar {
	return claim.Sidecar{
		Name:          "sc-cloud-sql-proxy",
		Image:         "proxy:2",
		Args:          []string{"project:region:db?port=5432", "--health-check"},
		RestartPolicy: "Always",
		Ports:         []claim.ContainerPort{{Name: "sc-proxy", ContainerPort: 9801, Protocol: "TCP"}},
	}
}

// everything that an injection may hold.
func everything() claim.Injection {
	return claim.Injection{
		Hash:               "0123456789abcdef",
		ServiceAccountName: "api",
		Labels:             map[string]string{"azure.workload.identity/use": "true"},
		Annotations:        map[string]string{"example.org/kept": "yes"},
		Env:                []claim.EnvVar{{Name: "AWS_REGION", Value: "eu-central-1"}, {Name: "AWS_ROLE_ARN", Value: "arn"}},
		Volumes: []claim.Volume{
			{Name: "aws-iam-token", Projected: &claim.ProjectedVolume{Sources: []claim.ProjectedSource{{
				ServiceAccountToken: claim.ServiceAccountToken{Audience: "sts.amazonaws.com", ExpirationSeconds: 86400, Path: "token"},
			}}}},
			{Name: "sc-disk", PersistentVolumeClaim: &claim.PersistentVolumeClaimVolume{ClaimName: "data"}},
		},
		VolumeMounts:   []claim.VolumeMount{{Name: "sc-disk", MountPath: "/data"}, {Name: "aws-iam-token", MountPath: "/token", ReadOnly: true}},
		InitContainers: []claim.Sidecar{proxy()},
		FSGroup:        pointer[int64](2000),
	}
}

// only one thing of an injection, beside the service account.
func only(change func(*claim.Injection)) claim.Injection {
	i := claim.Injection{Hash: "0123456789abcdef", ServiceAccountName: "api"}
	change(&i)
	return i
}

// asText is JSON without the numbers' types.
func asText(t testing.TB, v any) string {
	t.Helper()
	b, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestInject(t *testing.T) {
	t.Parallel()
	env := func(names ...string) claim.Injection {
		return only(func(i *claim.Injection) {
			for _, n := range names {
				i.Env = append(i.Env, claim.EnvVar{Name: n, Value: "ours"})
			}
		})
	}
	cases := map[string]struct {
		reason    string
		injection claim.Injection
		template  string

		// want but for our annotations.
		want string
	}{
		"Everything": {
			reason:    "An empty container gets all of it.",
			injection: everything(),
			template:  `{"spec": {"containers": [{"name": "app"}]}}`,
			want: `{
				"metadata": {"labels": {"azure.workload.identity/use": "true"}, "annotations": {"example.org/kept": "yes"}},
				"spec": {
					"serviceAccountName": "api", "serviceAccount": "api",
					"securityContext": {"fsGroup": 2000},
					"volumes": [
						{"name": "aws-iam-token", "projected": {"sources": [{"serviceAccountToken": {"audience": "sts.amazonaws.com", "expirationSeconds": 86400, "path": "token"}}]}},
						{"name": "sc-disk", "persistentVolumeClaim": {"claimName": "data"}}
					],
					"initContainers": [` + asText(t, proxy()) + `],
					"containers": [{
						"name": "app",
						"env": [{"name": "AWS_REGION", "value": "eu-central-1"}, {"name": "AWS_ROLE_ARN", "value": "arn"}],
						"volumeMounts": [{"name": "sc-disk", "mountPath": "/data"}, {"name": "aws-iam-token", "mountPath": "/token", "readOnly": true}]
					}]
				}
			}`,
		},
		"OwnVariable": {
			reason:    "A variable that a container sets stays, also one that refers to a Secret.",
			injection: env("A", "B", "C"),
			template:  `{"spec": {"containers": [{"name": "app", "env": [{"name": "B", "value": "own"}, {"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]}]}}`,
			want:      `{"spec": {"serviceAccountName": "api", "serviceAccount": "api", "containers": [{"name": "app", "env": [{"name": "B", "value": "own"}, {"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}, {"name": "C", "value": "ours"}]}]}}`,
		},
		"EnvFrom": {
			reason:    "What envFrom sets can't be seen, so only what credentials need is added.",
			injection: env("AWS_DEFAULT_REGION", "AWS_REGION", "AWS_ROLE_ARN", "DB_HOST", "DB_INSTANCE_CONNECTION_NAME", "DB_PORT"),
			template:  `{"spec": {"containers": [{"name": "app", "envFrom": [{"configMapRef": {"name": "c"}}]}, {"name": "web", "envFrom": []}]}}`,
			want: `{"spec": {"serviceAccountName": "api", "serviceAccount": "api", "containers": [
				{"name": "app", "envFrom": [{"configMapRef": {"name": "c"}}], "env": [{"name": "AWS_ROLE_ARN", "value": "ours"}]},
				{"name": "web", "envFrom": [], "env": [
					{"name": "AWS_DEFAULT_REGION", "value": "ours"}, {"name": "AWS_REGION", "value": "ours"}, {"name": "AWS_ROLE_ARN", "value": "ours"},
					{"name": "DB_HOST", "value": "ours"}, {"name": "DB_INSTANCE_CONNECTION_NAME", "value": "ours"}, {"name": "DB_PORT", "value": "ours"}
				]}
			]}}`,
		},
		"InitContainers": {
			reason:    "A migration in an init container needs the connection too, and the proxy before it.",
			injection: only(func(i *claim.Injection) { i.Env = []claim.EnvVar{{Name: "A", Value: "1"}}; i.InitContainers = []claim.Sidecar{proxy()} }),
			template:  `{"spec": {"initContainers": [{"name": "migrate"}, {"name": "warm"}], "containers": [{"name": "app"}]}}`,
			want: `{"spec": {"serviceAccountName": "api", "serviceAccount": "api",
				"initContainers": [` + asText(t, proxy()) + `, {"name": "migrate", "env": [{"name": "A", "value": "1"}]}, {"name": "warm", "env": [{"name": "A", "value": "1"}]}],
				"containers": [{"name": "app", "env": [{"name": "A", "value": "1"}]}]}}`,
		},
		"Containers": {
			reason:    "The claim may say which containers get it.",
			injection: only(func(i *claim.Injection) { i.Env = []claim.EnvVar{{Name: "A", Value: "1"}}; i.Containers = []string{"app"} }),
			template:  `{"spec": {"initContainers": [{"name": "migrate"}], "containers": [{"name": "log"}, {"name": "app"}]}}`,
			want:      `{"spec": {"serviceAccountName": "api", "serviceAccount": "api", "initContainers": [{"name": "migrate"}], "containers": [{"name": "log"}, {"name": "app", "env": [{"name": "A", "value": "1"}]}]}}`,
		},
		"DefaultServiceAccount": {
			reason:    "Nobody chose default, and a deprecated field that says something else is refused.",
			injection: only(func(*claim.Injection) {}),
			template:  `{"spec": {"serviceAccountName": "default", "serviceAccount": "default", "containers": [{"name": "app"}]}}`,
			want:      `{"spec": {"serviceAccountName": "api", "serviceAccount": "api", "containers": [{"name": "app"}]}}`,
		},
		"NoServiceAccount": {
			reason:    "An injection of a service without one leaves the template's.",
			injection: claim.Injection{Hash: "0123456789abcdef"},
			template:  `{"spec": {"serviceAccountName": "own", "containers": [{"name": "app"}]}}`,
			want:      `{"spec": {"serviceAccountName": "own", "containers": [{"name": "app"}]}}`,
		},
		"OwnVolumeAndMount": {
			reason: "What the template has like ours is not added again; a trailing slash is no other path.",
			injection: only(func(i *claim.Injection) {
				i.Volumes = []claim.Volume{{Name: "sc-disk", PersistentVolumeClaim: &claim.PersistentVolumeClaimVolume{ClaimName: "data"}}}
				i.VolumeMounts = []claim.VolumeMount{{Name: "sc-disk", MountPath: "/data"}}
			}),
			template: `{"spec": {"volumes": [{"name": "own"}, {"name": "sc-disk", "persistentVolumeClaim": {"claimName": "data"}}], "containers": [{"name": "app", "volumeMounts": [{"name": "sc-disk", "mountPath": "/data/"}]}]}}`,
			want:     `{"spec": {"serviceAccountName": "api", "serviceAccount": "api", "volumes": [{"name": "own"}, {"name": "sc-disk", "persistentVolumeClaim": {"claimName": "data"}}], "containers": [{"name": "app", "volumeMounts": [{"name": "sc-disk", "mountPath": "/data/"}]}]}}`,
		},
		"OwnSidecar": {
			reason:    "A proxy that the template has like ours is not added again, and gets none of its own mounts.",
			injection: only(func(i *claim.Injection) { i.InitContainers = []claim.Sidecar{proxy()}; i.Env = []claim.EnvVar{{Name: "A", Value: "1"}} }),
			template:  `{"spec": {"initContainers": [` + asText(t, proxy()) + `], "containers": [{"name": "app"}]}}`,
			want:      `{"spec": {"serviceAccountName": "api", "serviceAccount": "api", "initContainers": [` + asText(t, proxy()) + `], "containers": [{"name": "app", "env": [{"name": "A", "value": "1"}]}]}}`,
		},
		"OwnFSGroup": {
			reason:    "A group that the template sets stays, also group zero.",
			injection: only(func(i *claim.Injection) { i.FSGroup = pointer[int64](2000) }),
			template:  `{"spec": {"securityContext": {"fsGroup": 0}, "containers": [{"name": "app"}]}}`,
			want:      `{"spec": {"serviceAccountName": "api", "serviceAccount": "api", "securityContext": {"fsGroup": 0}, "containers": [{"name": "app"}]}}`,
		},
		"OwnSecurityContext": {
			reason:    "What else the template's security context says stays.",
			injection: only(func(i *claim.Injection) { i.FSGroup = pointer[int64](2000) }),
			template:  `{"spec": {"securityContext": {"runAsNonRoot": true}, "containers": [{"name": "app"}]}}`,
			want:      `{"spec": {"serviceAccountName": "api", "serviceAccount": "api", "securityContext": {"runAsNonRoot": true, "fsGroup": 2000}, "containers": [{"name": "app"}]}}`,
		},
		"OwnMetadata": {
			reason:    "Labels and annotations of the template stay, and null counts as none.",
			injection: only(func(i *claim.Injection) { i.Labels = map[string]string{"l": "ours"} }),
			template:  `{"metadata": {"labels": {"app": "a"}, "annotations": {"own": "b"}, "creationTimestamp": null}, "spec": {"volumes": null, "containers": [{"name": "app", "env": null}]}}`,
			want:      `{"metadata": {"labels": {"app": "a", "l": "ours"}, "annotations": {"own": "b"}, "creationTimestamp": null}, "spec": {"serviceAccountName": "api", "serviceAccount": "api", "volumes": null, "containers": [{"name": "app", "env": null}]}}`,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := fromJSON(t, tc.template)
			Inject(got, tc.injection)
			a := object(object(got, "metadata"), "annotations")
			if diff := cmp.Diff(tc.injection.Hash, text(a, AnnotationInjection)); diff != "" {
				t.Errorf("\n%s\nInject(...): annotation %s: -want, +got:\n%s", tc.reason, AnnotationInjection, diff)
			}
			twice, _ := clone(got).(map[string]any)
			Inject(twice, tc.injection)
			if diff := cmp.Diff(got, twice); diff != "" {
				t.Errorf("\n%s\nInject(...) again: -once, +twice:\n%s", tc.reason, diff)
			}
			if conflicts := Inspect(got, tc.injection, claim.Service{}); conflicts != nil {
				t.Errorf("\n%s\nInspect(...) afterwards: %v", tc.reason, conflicts)
			}
			undone, _ := clone(got).(map[string]any)
			Remove(undone)
			if diff := cmp.Diff(fromJSON(t, tc.template), undone); diff != "" {
				t.Errorf("\n%s\nRemove(...): -before, +after:\n%s", tc.reason, diff)
			}
			takeKeys(got, "metadata", "annotations", []string{AnnotationInjection, annotationInjected})
			if len(object(got, "metadata")) == 0 {
				delete(got, "metadata")
			}
			if diff := cmp.Diff(asText(t, fromJSON(t, tc.want)), asText(t, got)); diff != "" {
				t.Errorf("\n%s\nInject(...): -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

func TestInjectReplaces(t *testing.T) {
	t.Parallel()
	const before = `{"spec": {"serviceAccountName": "default", "containers": [{"name": "app", "env": [{"name": "OWN", "value": "1"}]}]}}`
	got, want := fromJSON(t, before), fromJSON(t, before)
	small := only(func(i *claim.Injection) { i.Env = []claim.EnvVar{{Name: "B", Value: "2"}} })
	Inject(got, everything())
	if conflicts := Inspect(got, small, claim.Service{}); conflicts != nil {
		t.Errorf("What an earlier injection put there is no conflict: %v", conflicts)
	}
	Inject(got, small)
	Inject(want, small)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("An injection leaves nothing of the one before: -want, +got:\n%s", diff)
	}
}

func TestRemove(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		reason   string
		template string
		want     string
	}{
		"NoRecord": {
			reason:   "Without a record nobody knows whose is what, and everything stays.",
			template: `{"metadata": {"annotations": {"serviceconnections.io/injection": "0123456789abcdef"}}, "spec": {"serviceAccountName": "api"}}`,
			want:     `{"metadata": {"annotations": {"serviceconnections.io/injection": "0123456789abcdef"}}, "spec": {"serviceAccountName": "api"}}`,
		},
		"BrokenRecord": {
			reason:   "A record that somebody broke counts as none.",
			template: `{"metadata": {"annotations": {"serviceconnections.io/injected": "{"}}, "spec": {"serviceAccountName": "api"}}`,
			want:     `{"metadata": {"annotations": {"serviceconnections.io/injected": "{"}}, "spec": {"serviceAccountName": "api"}}`,
		},
		"ChangedSince": {
			reason:   "What is gone already can't be taken out; what was added since stays.",
			template: `{"metadata": {"annotations": {"serviceconnections.io/injected": "{\"labels\":[\"l\"],\"volumes\":[\"v\"],\"env\":{\"app\":[\"A\"],\"gone\":[\"A\"]},\"fsGroup\":true}"}}, "spec": {"containers": [{"name": "app", "env": [{"name": "A"}, {"name": "B"}]}]}}`,
			want:     `{"spec": {"containers": [{"name": "app", "env": [{"name": "B"}]}]}}`,
		},
		"OnlyServiceAccountName": {
			reason:   "What the fields said before is put back, each on its own.",
			template: `{"metadata": {"annotations": {"own": "a", "serviceconnections.io/injected": "{\"serviceAccountName\":\"default\",\"serviceAccount\":\"\"}"}}, "spec": {"serviceAccountName": "api", "serviceAccount": "api"}}`,
			want:     `{"metadata": {"annotations": {"own": "a"}}, "spec": {"serviceAccountName": "default"}}`,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := fromJSON(t, tc.template)
			Remove(got)
			if diff := cmp.Diff(fromJSON(t, tc.want), got); diff != "" {
				t.Errorf("\n%s\nRemove(...): -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}
