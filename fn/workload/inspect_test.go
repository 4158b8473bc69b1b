package workload

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/serviceconnections/function-service-connections/fn/claim"
	"github.com/serviceconnections/function-service-connections/fn/decoded"
)

// pod template with a container api and what the case adds.
func templateWith(change func(template, spec, api map[string]any)) map[string]any {
	api := map[string]any{"name": "api", "image": "api"}
	spec := map[string]any{"containers": []any{api}}
	template := map[string]any{"spec": spec}
	if change != nil {
		change(template, spec, api)
	}
	return template
}

func withServiceAccount(in claim.Injection) claim.Injection {
	in.ServiceAccountName, in.Hash = "shop-api", "0123456789abcdef"
	return in
}

func TestInspect(t *testing.T) {
	t.Parallel()
	type change = func(template, spec, api map[string]any)
	token := tokenInjection("aws-iam-token", "sts.amazonaws.com")
	cases := map[string]struct {
		reason    string
		change    change
		injection claim.Injection
		service   claim.Service
		want      []Conflict
	}{
		"Plain": {
			reason:    "A template that sets nothing can have everything.",
			injection: token,
			service:   service,
		},
		"ServiceAccountInUse": {
			reason:    "Another service account would take away RBAC and pull secrets.",
			change:    func(_, spec, _ map[string]any) { spec["serviceAccountName"] = "api-sa" },
			injection: token,
			service:   service,
			want:      []Conflict{{ReasonServiceAccountInUse, `Deployment "api" already runs as ServiceAccount "api-sa"; set services[api].serviceAccountName: api-sa`}},
		},
		"DeprecatedServiceAccount": {
			reason:    "The API server copies the deprecated field.",
			change:    func(_, spec, _ map[string]any) { spec["serviceAccount"] = "api-sa" },
			injection: token,
			service:   service,
			want:      []Conflict{{ReasonServiceAccountInUse, `Deployment "api" already runs as ServiceAccount "api-sa"; set services[api].serviceAccountName: api-sa`}},
		},
		"AnotherServiceAccountNamed": {
			reason:    "The claim names one, the workload another.",
			change:    func(_, spec, _ map[string]any) { spec["serviceAccountName"] = "api-sa" },
			injection: token,
			service:   claim.Service{Name: "api", ServiceAccountName: "shop-api", Workload: service.Workload},
			want:      []Conflict{{ReasonServiceAccountInUse, `Deployment "api" already runs as ServiceAccount "api-sa"; change services[api].serviceAccountName from shop-api to api-sa, or the workload's`}},
		},
		"ContainerNotFound": {
			reason:    "A name that no container has is a mistake.",
			change:    func(_, spec, _ map[string]any) { spec["initContainers"] = []any{map[string]any{"name": "migrate"}} },
			injection: claim.Injection{Containers: []string{"migrate", "wroker", "api"}},
			service:   service,
			want:      []Conflict{{ReasonContainerNotFound, `Deployment "api" has no container "wroker", only "migrate", "api"; correct services[api].containers`}},
		},
		"PortConflict": {
			reason: "Two processes can't listen on one port of the pod.",
			change: func(_, _, api map[string]any) {
				api["ports"] = []any{map[string]any{"containerPort": float64(5432)}, map[string]any{"containerPort": int64(9801), "protocol": "TCP"}}
			},
			injection: proxyInjection(5432),
			service:   service,
			want: []Conflict{
				{ReasonPortConflict, `Deployment "api" listens on port 9801 in container "api", where sc-cloud-sql-proxy listens too; change one of the ports`},
				{ReasonPortConflict, `Deployment "api" listens on port 5432 in container "api", where sc-cloud-sql-proxy listens too; change one of the ports`},
			},
		},
		"ContainerName": {
			reason: "The API server refuses two containers of one name.",
			change: func(_, spec, _ map[string]any) {
				spec["containers"] = append(spec["containers"].([]any), map[string]any{"name": "sc-cloud-sql-proxy", "image": "other"})
			},
			injection: proxyInjection(5432),
			service:   service,
			want:      []Conflict{{ReasonNameConflict, `Deployment "api" has a container "sc-cloud-sql-proxy" of its own, a name that the injection uses; rename it`}},
		},
		"ProxyIsOurs": {
			reason: "A copy of a pod that was injected has the proxy.",
			change: func(_, spec, _ map[string]any) {
				spec["initContainers"] = []any{decoded.Of(proxyInjection(5432).InitContainers[0])}
			},
			injection: proxyInjection(5432),
			service:   service,
		},
		"VolumeName": {
			reason: "A volume of our name with other content is somebody else's.",
			change: func(_, spec, _ map[string]any) {
				spec["volumes"] = []any{map[string]any{"name": "aws-iam-token", "secret": map[string]any{}}}
			},
			injection: token,
			service:   service,
			want:      []Conflict{{ReasonNameConflict, `Deployment "api" has a volume "aws-iam-token" of its own, a name that the injection uses; rename it`}},
		},
		"VolumeWithDefaults": {
			reason: "What the API server or EKS's webhook adds is no difference.",
			change: func(_, spec, _ map[string]any) {
				v := decoded.Of(token.Volumes[0])
				decoded.Object(v, "projected")["defaultMode"] = float64(420)
				spec["volumes"] = []any{v}
			},
			injection: token,
			service:   service,
		},
		"MountPath": {
			reason: "Two volumes can't be mounted at one path.",
			change: func(_, _, api map[string]any) {
				api["volumeMounts"] = []any{map[string]any{"name": "tmp", "mountPath": "/data/cache"}}
			},
			injection: diskInjection("/data/cache", nil),
			service:   service,
			want:      []Conflict{{ReasonNameConflict, `Deployment "api" mounts volume "tmp" at /data/cache in container "api", where the injection mounts "sc-disk"; mount one of them elsewhere`}},
		},
		"OwnVolumeIsReadOnly": {
			reason: "The pod's volume of the claim is the only one that it may have, and through it nothing could be written.",
			change: func(_, spec, _ map[string]any) {
				spec["volumes"] = []any{map[string]any{"name": "data", "persistentVolumeClaim": map[string]any{"claimName": "cache", "readOnly": true}}}
			},
			injection: disksOf(claim.VolumeMount{Name: "sc-disk", MountPath: "/a"}, claim.VolumeMount{Name: "sc-disk-b", MountPath: "/b"}),
			service:   service,
			want:      []Conflict{{ReasonNameConflict, `Deployment "api" has the PersistentVolumeClaim "cache" in its volume "data", which is read-only, where the injection writes it; take readOnly from the volume, and set it in the mounts of it`}},
		},
		"OwnVolumeIsReadOnlyAsTheDisksAre": {
			reason: "Nothing is written, so one that is read-only will do.",
			change: func(_, spec, _ map[string]any) {
				spec["volumes"] = []any{map[string]any{"name": "data", "persistentVolumeClaim": map[string]any{"claimName": "cache", "readOnly": true}}}
			},
			injection: disksOf(claim.VolumeMount{Name: "sc-disk", MountPath: "/a", ReadOnly: true}),
			service:   service,
		},
		"MountedByAnotherVolumeOfTheClaim": {
			reason: "What is at the path is the disk, by whatever name of it.",
			change: func(_, spec, api map[string]any) {
				spec["volumes"] = []any{map[string]any{"name": "data", "persistentVolumeClaim": map[string]any{"claimName": "cache"}}}
				api["volumeMounts"] = []any{map[string]any{"name": "data", "mountPath": "/a/"}}
			},
			injection: disksOf(claim.VolumeMount{Name: "sc-disk", MountPath: "/a"}),
			service:   service,
		},
		"CopyOfAPodWithTwoVolumes": {
			reason: "An earlier version gave a pod two volumes of one claim.",
			change: func(_, spec, api map[string]any) {
				spec["volumes"] = []any{
					map[string]any{"name": "sc-disk-a", "persistentVolumeClaim": map[string]any{"claimName": "cache", "readOnly": true}},
					map[string]any{"name": "sc-disk-b", "persistentVolumeClaim": map[string]any{"claimName": "cache"}},
				}
				api["volumeMounts"] = []any{map[string]any{"name": "sc-disk-a", "mountPath": "/a", "readOnly": true}, map[string]any{"name": "sc-disk-b", "mountPath": "/b"}}
			},
			injection: disksOf(claim.VolumeMount{Name: "sc-disk-a", MountPath: "/a", ReadOnly: true}, claim.VolumeMount{Name: "sc-disk-b", MountPath: "/b"}),
			service:   service,
		},
		"DevicePath": {
			reason: "The API server refuses a device and a mount at one path.",
			change: func(_, _, api map[string]any) {
				api["volumeDevices"] = []any{map[string]any{"name": "raw", "devicePath": "/data/cache"}}
			},
			injection: diskInjection("/data/cache", nil),
			service:   service,
			want:      []Conflict{{ReasonNameConflict, `Deployment "api" has a block device at /data/cache in container "api", where the injection mounts "sc-disk"; put it elsewhere`}},
		},
		"Label": {
			reason: "A team that switches workload identity off for a pod means it.",
			change: func(template, _, _ map[string]any) {
				template["metadata"] = map[string]any{"labels": map[string]any{"azure.workload.identity/use": "false"}}
			},
			injection: injections()[2],
			service:   service,
			want:      []Conflict{{ReasonNameConflict, `Deployment "api" has the pod label azure.workload.identity/use: false, which must be true; remove it from the pod template`}},
		},
		"Annotation": {
			reason: "A template that says it has another injection, and has no record of it, isn't given this one on top.",
			change: func(template, _, _ map[string]any) {
				template["metadata"] = map[string]any{"annotations": map[string]any{AnnotationInjection: "fedc"}}
			},
			injection: token,
			service:   claim.Service{Name: "api"},
			want:      []Conflict{{ReasonNameConflict, `the workload has the pod annotation serviceconnections.io/injection: fedc, which must be 0123456789abcdef; remove it from the pod template`}},
		},
		"SameAnnotation": {
			reason: "A copy of a pod that has this injection is right.",
			change: func(template, _, _ map[string]any) {
				template["metadata"] = map[string]any{"annotations": map[string]any{AnnotationInjection: "0123456789abcdef"}}
			},
			injection: token,
			service:   service,
		},
		"Malformed": {
			reason: "What the API server would refuse is left to it.",
			change: func(template, spec, api map[string]any) {
				template["metadata"], spec["volumes"], spec["initContainers"] = "x", "x", []any{"x"}
				api["env"], api["ports"], api["volumeMounts"] = 1, []any{map[string]any{"containerPort": "http"}}, []any{nil}
			},
			injection: proxyInjection(5432),
			service:   service,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			template := templateWith(tc.change)
			before := copyOf(template)
			got := Inspect(template, withServiceAccount(tc.injection), tc.service)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s\n-want +got:\n%s", tc.reason, diff)
			}
			if diff := cmp.Diff(before, template); diff != "" {
				t.Errorf("%s\nInspect changed the template:\n%s", tc.reason, diff)
			}
		})
	}
}

func TestCovers(t *testing.T) {
	t.Parallel()
	want := map[string]any{"name": "v", "size": int64(1), "list": []any{map[string]any{"a": "b"}}, "on": true}
	cases := map[string]struct {
		reason string
		got    any
		want   bool
	}{
		"Equal":       {"A value covers itself.", want, true},
		"More":        {"Further fields are defaults.", map[string]any{"name": "v", "size": float64(1), "list": []any{map[string]any{"a": "b", "c": "d"}}, "on": true, "mode": int64(420)}, true},
		"Less":        {"A missing field is a difference.", map[string]any{"name": "v", "size": int64(1), "on": true}, false},
		"LongerList":  {"One more entry is a difference.", map[string]any{"name": "v", "size": int64(1), "list": []any{map[string]any{"a": "b"}, map[string]any{}}, "on": true}, false},
		"OtherEntry":  {"Another entry is a difference.", map[string]any{"name": "v", "size": int64(1), "list": []any{"a"}, "on": true}, false},
		"OtherNumber": {"Another number is a difference.", map[string]any{"name": "v", "size": float64(2), "list": []any{map[string]any{"a": "b"}}, "on": true}, false},
		"NoNumber":    {"A text is no number.", map[string]any{"name": "v", "size": "1", "list": []any{map[string]any{"a": "b"}}, "on": true}, false},
		"NoObject":    {"A text is no object.", "v", false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := decoded.Covers(tc.got, want); got != tc.want {
				t.Errorf("%s\ncovers: %t, want %t", tc.reason, got, tc.want)
			}
		})
	}
}
