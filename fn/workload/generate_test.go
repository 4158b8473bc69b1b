package workload

import (
	"fmt"

	"pgregory.net/rapid"

	"github.com/serviceconnections/function-service-connections/fn/claim"
	"github.com/serviceconnections/function-service-connections/fn/decoded"
)

// The values below meet the injections' often, so that both outcomes of every
// rule come up.

func drawInjection(t *rapid.T) claim.Injection {
	in, err := Merge(rapid.SliceOfNDistinct(rapid.SampledFrom(injections()), 0, 4, func(in claim.Injection) string { return hash(in) }).
		Filter(func(parts []claim.Injection) bool { _, err := Merge(parts...); return err == nil }).
		Draw(t, "connections")...)
	if err != nil {
		t.Fatal(err)
	}
	in.ServiceAccountName = "shop-api"
	in.Containers = rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"api", "worker", "migrate"}), 0, 2, rapid.ID[string]).Draw(t, "targets")
	in.Hash = Hash(in, nil)
	return in
}

func drawTemplate(t *rapid.T) map[string]any {
	spec := map[string]any{"containers": drawContainers(t, "containers", 1, "api", "worker", "sc-cloud-sql-proxy")}
	names := []string{"migrate", "warm"}
	if decoded.Find(decoded.Objects(spec, "containers"), "name", "sc-cloud-sql-proxy") == nil {
		// All names of a pod's containers differ.
		names = append(names, "sc-cloud-sql-proxy")
	}
	if init := drawContainers(t, "initContainers", 0, names...); len(init) > 0 {
		spec["initContainers"] = init
	}
	if v := drawList(t, "volumes", volumes()); len(v) > 0 {
		spec["volumes"] = v
	}
	if sa := rapid.SampledFrom([]string{"", "", "default", "shop-api", "own"}).Draw(t, "serviceAccount"); sa != "" {
		spec["serviceAccountName"] = sa
		if rapid.Bool().Draw(t, "deprecated") {
			spec["serviceAccount"] = sa
		}
	}
	switch rapid.IntRange(0, 3).Draw(t, "securityContext") {
	case 1:
		spec["securityContext"] = map[string]any{"runAsUser": int64(1000)}
	case 2:
		spec["securityContext"] = map[string]any{"fsGroup": float64(0)}
	}
	template := map[string]any{"spec": spec}
	meta := map[string]any{}
	if l := rapid.MapOfN(rapid.SampledFrom([]string{"app", "azure.workload.identity/use"}), rapid.SampledFrom([]any{"true", "false"}), 0, 2).Draw(t, "labels"); len(l) > 0 {
		meta["labels"] = l
	}
	if a := rapid.MapOfN(rapid.SampledFrom([]string{"team", "prometheus.io/scrape"}), rapid.SampledFrom([]any{"a", "b"}), 0, 2).Draw(t, "annotations"); len(a) > 0 {
		meta["annotations"] = a
	}
	if len(meta) > 0 {
		template["metadata"] = meta
	}
	return template
}

func drawContainers(t *rapid.T, label string, least int, names ...string) []any {
	drawn := rapid.SliceOfNDistinct(rapid.SampledFrom(names), least, len(names), rapid.ID[string]).Draw(t, label)
	containers := make([]any, 0, len(drawn))
	for _, name := range drawn {
		c := map[string]any{"name": name, "image": "image"}
		for _, of := range []struct {
			field string
			from  []any
		}{
			{"env", []any{
				map[string]any{"name": "AWS_REGION", "value": "us-east-1"},
				map[string]any{"name": "DB_HOST", "valueFrom": map[string]any{"configMapKeyRef": map[string]any{"name": "db", "key": "host"}}},
				map[string]any{"name": "LOG_LEVEL", "value": "debug"},
			}},
			{"envFrom", []any{map[string]any{"secretRef": map[string]any{"name": "api"}}}},
			{"ports", []any{map[string]any{"containerPort": int64(8080)}, map[string]any{"containerPort": float64(5432), "protocol": "UDP"}, map[string]any{"containerPort": int64(9801)}}},
			{"volumeMounts", []any{map[string]any{"name": "tmp", "mountPath": "/tmp"}, map[string]any{"name": "tmp", "mountPath": "/data/cache/"}, map[string]any{"name": "sc-disk", "mountPath": "/data/cache"}, map[string]any{"name": "written", "mountPath": "/b", "subPath": "b"}}},
		} {
			if v := drawList(t, label+"/"+name+"/"+of.field, of.from); len(v) > 0 {
				c[of.field] = v
			}
		}
		containers = append(containers, c)
	}
	return containers
}

func volumes() []any {
	return []any{
		map[string]any{"name": "tmp", "emptyDir": map[string]any{}},
		map[string]any{"name": "sc-disk", "persistentVolumeClaim": map[string]any{"claimName": "cache"}},
		map[string]any{"name": "eks-pod-identity-token", "emptyDir": map[string]any{}},
		map[string]any{"name": "data", "persistentVolumeClaim": map[string]any{"claimName": "cache", "readOnly": true}},
		map[string]any{"name": "written", "persistentVolumeClaim": map[string]any{"claimName": "cache"}},
	}
}

// drawList of a subset in any order. Half of the lists are empty, so that
// templates without conflicts are common.
func drawList(t *rapid.T, label string, from []any) []any {
	if rapid.Bool().Draw(t, label+" is empty") {
		return nil
	}
	indexes := rapid.SliceOfNDistinct(rapid.IntRange(0, len(from)-1), 0, len(from), rapid.ID[int]).Draw(t, label)
	drawn := make([]any, 0, len(indexes))
	for _, i := range indexes {
		drawn = append(drawn, decoded.Clone(map[string]any{"": from[i]})[""])
	}
	return drawn
}

// The injections that the connections emit.
func injections() []claim.Injection {
	group := int64(2000)
	return []claim.Injection{
		tokenInjection("eks-pod-identity-token", "pods.eks.amazonaws.com"),
		tokenInjection("aws-iam-token", "sts.amazonaws.com"),
		{Labels: map[string]string{"azure.workload.identity/use": "true"}},
		proxyInjection(5432),
		diskInjection("/data/cache", nil),
		diskInjection("/srv/cache", &group),
		disksOf(claim.VolumeMount{Name: "sc-disk-a", MountPath: "/a", ReadOnly: true}),
		disksOf(claim.VolumeMount{Name: "sc-disk-b", MountPath: "/b", SubPath: "b"}),
	}
}

func tokenInjection(volume, audience string) claim.Injection {
	return claim.Injection{
		Env: []claim.EnvVar{
			{Name: "AWS_REGION", Value: "eu-west-1"},
			{Name: "AWS_ROLE_ARN", Value: "arn:aws:iam::123456789012:role/api"},
		},
		Volumes: []claim.Volume{{Name: volume, Projected: &claim.ProjectedVolume{Sources: []claim.ProjectedSource{{
			ServiceAccountToken: claim.ServiceAccountToken{Audience: audience, ExpirationSeconds: 86400, Path: "token"},
		}}}}},
		VolumeMounts: []claim.VolumeMount{{Name: volume, MountPath: "/var/run/secrets/" + audience, ReadOnly: true}},
	}
}

func proxyInjection(port int32) claim.Injection {
	return claim.Injection{
		Env: []claim.EnvVar{{Name: "DB_HOST", Value: "127.0.0.1"}, {Name: "DB_PORT", Value: fmt.Sprint(port)}},
		InitContainers: []claim.Sidecar{{
			Name: "sc-cloud-sql-proxy", Image: "proxy:1", RestartPolicy: "Always",
			Args:  []string{fmt.Sprintf("project:region:instance?port=%d", port), "--http-port=9801"},
			Ports: []claim.ContainerPort{{Name: "sc-proxy", ContainerPort: 9801, Protocol: "TCP"}},
		}},
	}
}

func diskInjection(path string, group *int64) claim.Injection {
	return claim.Injection{
		Volumes:      []claim.Volume{{Name: "sc-disk", PersistentVolumeClaim: &claim.PersistentVolumeClaimVolume{ClaimName: "cache"}}},
		VolumeMounts: []claim.VolumeMount{{Name: "sc-disk", MountPath: path}},
		FSGroup:      group,
	}
}

// disksOf claim cache, each with one mount, which it writes or doesn't.
func disksOf(mounts ...claim.VolumeMount) claim.Injection {
	in := claim.Injection{VolumeMounts: mounts}
	for _, m := range mounts {
		in.Volumes = append(in.Volumes, claim.Volume{Name: m.Name, PersistentVolumeClaim: &claim.PersistentVolumeClaimVolume{ClaimName: "cache", ReadOnly: m.ReadOnly}})
	}
	return in
}
