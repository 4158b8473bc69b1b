package workload

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/serviceconnections/function-service-connections/fn/claim"
)

func TestInspect(t *testing.T) {
	t.Parallel()
	api := claim.Service{Name: "api", Workload: &claim.Workload{APIVersion: "apps/v1", Kind: "Deployment", Name: "shop"}}
	named := api
	named.ServiceAccountName = "api"
	withProxy := only(func(i *claim.Injection) { i.InitContainers = []claim.Sidecar{proxy()} })
	cases := map[string]struct {
		reason    string
		injection claim.Injection
		service   claim.Service
		template  string
		want      []Conflict
	}{
		"Free": {
			reason:    "A plain template can take everything.",
			injection: everything(), service: api,
			template: `{"spec": {"containers": [{"name": "app", "ports": [{"containerPort": 8080}]}]}}`,
		},
		"ServiceAccountInUse": {
			reason:    "Another ServiceAccount would take away its RBAC and pull secrets.",
			injection: only(func(*claim.Injection) {}), service: api,
			template: `{"spec": {"serviceAccountName": "own", "containers": [{"name": "app"}]}}`,
			want:     []Conflict{{ReasonServiceAccountInUse, `Deployment "shop" already runs as ServiceAccount "own"; set services[api].serviceAccountName: own`}},
		},
		"DeprecatedServiceAccountInUse": {
			reason:    "The deprecated field names it too, and the claim names another one.",
			injection: only(func(*claim.Injection) {}), service: named,
			template: `{"spec": {"serviceAccount": "own", "containers": [{"name": "app"}]}}`,
			want:     []Conflict{{ReasonServiceAccountInUse, `Deployment "shop" already runs as ServiceAccount "own"; change services[api].serviceAccountName from api to own, or the workload's`}},
		},
		"ServiceAccountOurs": {
			reason:    "The ServiceAccount that it shall have is no conflict.",
			injection: only(func(*claim.Injection) {}), service: api,
			template: `{"spec": {"serviceAccountName": "api", "containers": [{"name": "app"}]}}`,
		},
		"ContainerNotFound": {
			reason:    "A misspelt container would silently get nothing.",
			injection: only(func(i *claim.Injection) { i.Containers = []string{"app", "wbe"} }), service: api,
			template: `{"spec": {"initContainers": [{"name": "migrate"}], "containers": [{"name": "app"}]}}`,
			want:     []Conflict{{ReasonContainerNotFound, `Deployment "shop" has no container "wbe", only "migrate", "app"; correct services[api].containers`}},
		},
		"LabelConflict": {
			reason:    "A label that says otherwise was set on purpose.",
			injection: everything(),
			template:  `{"metadata": {"labels": {"azure.workload.identity/use": "false"}}, "spec": {"containers": [{"name": "app"}]}}`,
			want:      []Conflict{{ReasonNameConflict, `the workload has the pod label azure.workload.identity/use: false, which must be true; remove it from the pod template`}},
		},
		"AnnotationConflict": {
			reason:    "Somebody's copy of a pod has the annotation of its injection.",
			injection: only(func(*claim.Injection) {}), service: api,
			template: `{"metadata": {"annotations": {"serviceconnections.io/injection": "feedfeedfeedfeed"}}, "spec": {"containers": [{"name": "app"}]}}`,
			want:     []Conflict{{ReasonNameConflict, `Deployment "shop" has the pod annotation serviceconnections.io/injection: feedfeedfeedfeed, which must be 0123456789abcdef; remove it from the pod template`}},
		},
		"VolumeConflict": {
			reason:    "Our mounts must not show somebody's directory.",
			injection: everything(), service: api,
			template: `{"spec": {"volumes": [{"name": "sc-disk", "emptyDir": {}}, {"name": "aws-iam-token", "projected": {"sources": [{"serviceAccountToken": {"audience": "other", "expirationSeconds": 86400, "path": "token"}}]}}], "containers": [{"name": "app"}]}}`,
			want: []Conflict{
				{ReasonNameConflict, `Deployment "shop" has a volume "aws-iam-token" of its own, a name that the injection uses; rename it`},
				{ReasonNameConflict, `Deployment "shop" has a volume "sc-disk" of its own, a name that the injection uses; rename it`},
			},
		},
		"VolumeLikeOurs": {
			reason:    "A volume that has all that we set is ours, whatever defaults have added.",
			injection: everything(), service: api,
			template: `{"spec": {"volumes": [{"name": "aws-iam-token", "projected": {"defaultMode": 420, "sources": [{"serviceAccountToken": {"audience": "sts.amazonaws.com", "expirationSeconds": 86400, "path": "token"}}]}}], "containers": [{"name": "app"}]}}`,
		},
		"VolumeWithMoreSources": {
			reason:    "A volume with another source would show it where the token is expected.",
			injection: everything(), service: api,
			template: `{"spec": {"volumes": [{"name": "aws-iam-token", "projected": {"sources": [{"serviceAccountToken": {"audience": "sts.amazonaws.com", "expirationSeconds": 86400, "path": "token"}}, {"secret": {"name": "s"}}]}}], "containers": [{"name": "app"}]}}`,
			want:     []Conflict{{ReasonNameConflict, `Deployment "shop" has a volume "aws-iam-token" of its own, a name that the injection uses; rename it`}},
		},
		"VolumeOfOtherShape": {
			reason:    "What isn't shaped like a volume isn't ours.",
			injection: everything(), service: api,
			template: `{"spec": {"volumes": [{"name": "aws-iam-token", "projected": {"sources": "a"}}, {"name": "sc-disk", "persistentVolumeClaim": 1}], "containers": [{"name": "app"}]}}`,
			want: []Conflict{
				{ReasonNameConflict, `Deployment "shop" has a volume "aws-iam-token" of its own, a name that the injection uses; rename it`},
				{ReasonNameConflict, `Deployment "shop" has a volume "sc-disk" of its own, a name that the injection uses; rename it`},
			},
		},
		"MountConflict": {
			reason:    "The API server refuses two mounts at one path.",
			injection: everything(), service: api,
			template: `{"spec": {"containers": [{"name": "app", "volumeMounts": [{"name": "cache", "mountPath": "/data/"}], "volumeDevices": [{"name": "raw", "devicePath": "/token"}]}]}}`,
			want: []Conflict{
				{ReasonNameConflict, `Deployment "shop" mounts volume "cache" at /data in container "app", where the injection mounts "sc-disk"; mount one of them elsewhere`},
				{ReasonNameConflict, `Deployment "shop" has a block device at /token in container "app", where the injection mounts "aws-iam-token"; put it elsewhere`},
			},
		},
		"MountElsewhere": {
			reason:    "A container that isn't chosen may mount what it likes.",
			injection: only(func(i *claim.Injection) { i.Containers, i.VolumeMounts = []string{"app"}, everything().VolumeMounts }), service: api,
			template: `{"spec": {"containers": [{"name": "app"}, {"name": "log", "volumeMounts": [{"name": "cache", "mountPath": "/data"}]}]}}`,
		},
		"ContainerConflict": {
			reason:    "A container that shares our name would hide the proxy, or be refused.",
			injection: withProxy, service: api,
			template: `{"spec": {"containers": [{"name": "sc-cloud-sql-proxy"}]}}`,
			want:     []Conflict{{ReasonNameConflict, `Deployment "shop" has a container "sc-cloud-sql-proxy" of its own, a name that the injection uses; rename it`}},
		},
		"InitContainerConflict": {
			reason:    "An init container of our name that isn't the proxy is somebody's.",
			injection: withProxy, service: api,
			template: `{"spec": {"initContainers": [{"name": "sc-cloud-sql-proxy", "image": "other"}], "containers": [{"name": "app"}]}}`,
			want:     []Conflict{{ReasonNameConflict, `Deployment "shop" has a container "sc-cloud-sql-proxy" of its own, a name that the injection uses; rename it`}},
		},
		"PortConflict": {
			reason:    "All containers of a pod share one network, so one of two listeners fails.",
			injection: withProxy, service: api,
			template: `{"spec": {"initContainers": [{"name": "metrics", "ports": [{"containerPort": 9801, "protocol": "TCP"}]}], "containers": [{"name": "db", "ports": [{"containerPort": 5432}]}]}}`,
			want: []Conflict{
				{ReasonPortConflict, `Deployment "shop" listens on port 9801 in container "metrics", where sc-cloud-sql-proxy listens too; change one of the ports`},
				{ReasonPortConflict, `Deployment "shop" listens on port 5432 in container "db", where sc-cloud-sql-proxy listens too; change one of the ports`},
			},
		},
		"OtherProtocol": {
			reason:    "UDP ports are others.",
			injection: withProxy, service: api,
			template: `{"spec": {"containers": [{"name": "db", "ports": [{"containerPort": 5432, "protocol": "UDP"}, {"containerPort": "http"}]}]}}`,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			template := fromJSON(t, tc.template)
			if diff := cmp.Diff(tc.want, Inspect(template, tc.injection, tc.service)); diff != "" {
				t.Errorf("\n%s\nInspect(...): -want, +got:\n%s", tc.reason, diff)
			}
			if diff := cmp.Diff(fromJSON(t, tc.template), template); diff != "" {
				t.Errorf("\n%s\nInspect(...) must not change the template: -before, +after:\n%s", tc.reason, diff)
			}
		})
	}
}
