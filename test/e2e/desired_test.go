package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/serviceconnections/function-service-connections/fn/claim"
	"github.com/serviceconnections/function-service-connections/test/e2e/controlplane"
)

// apps is a platform of its own kind, beside ServiceConnection: the example of
// Desired delivery, for every namespace, and with one more step at the end that
// works on what ours has made of the workload.
var apps = sync.OnceValue(func() error {
	c, err := clusters[controlplane.Namespaced]()
	if err != nil {
		return err
	}
	ctx := context.Background()
	var files [2]string
	for i, name := range []string{"definition.yaml", "composition.yaml"} {
		b, err := os.ReadFile(filepath.Join(c.Root, "example", "desired-delivery", name))
		if err != nil {
			return fmt.Errorf("cannot read example: %w", err)
		}
		files[i] = string(b)
	}
	composition := strings.ReplaceAll(files[1], "[team-a]", `["*"]`)
	composition = strings.ReplaceAll(composition, "my-service-account", "sql-client")
	// What the first step puts into the pipeline's context reaches the last.
	composition = strings.Replace(composition, "      kind: Resources\n", `      kind: Resources
      environment:
        patches:
        - {type: FromCompositeFieldPath, fromFieldPath: spec.image, toFieldPath: image}
`, 1)
	composition = strings.TrimSpace(composition) + `
  - step: last
    functionRef: {name: function-patch-and-transform}
    input:
      apiVersion: pt.fn.crossplane.io/v1beta1
      kind: Resources
      resources:
      - name: workload
        patches:
        - {type: FromEnvironmentFieldPath, fromFieldPath: image, toFieldPath: "metadata.annotations[example.org/image]"}
        - type: FromCompositeFieldPath
          fromFieldPath: metadata.name
          toFieldPath: spec.template.metadata.labels[example.org/app]
        readinessChecks: [{type: MatchCondition, matchCondition: {type: Available, status: "True"}}]
`
	return errors.Join(
		c.StartOtherFunction(ctx, "function-patch-and-transform"),
		c.ApplyYAML(ctx, files[0]),
		c.ApplyYAML(ctx, composition),
		c.GrantRoles(ctx, "apps.example.org"),
		c.AwaitCondition(ctx, "apiextensions.crossplane.io/v2", "CompositeResourceDefinition", "", "apps.example.org", "Established"),
	)
})

// newApps is a team whose platform has Apps.
func newApps(t *testing.T) *team {
	t.Helper()
	team := newTeam(t, controlplane.Namespaced)
	if err := apps(); err != nil {
		t.Fatal(err)
	}
	team.leave("example.org/v1alpha1", "App")
	return team
}

// app of the team, with connections of service api.
func (t *team) app(image, connections string) {
	t.t.Helper()
	t.applyf("{apiVersion: example.org/v1alpha1, kind: App, metadata: {name: shop}, spec: {image: '%s', services: [{name: api, connections: [%s]}]}}", image, connections)
}

// eventuallyApp is eventually about the App, whose status says the rest.
func (t *team) eventuallyApp(what string, f func(context.Context, *unstructured.Unstructured) error) {
	t.t.Helper()
	t.eventually(what, func(ctx context.Context) error {
		u, err := t.Get(ctx, "example.org/v1alpha1", "App", t.namespace, "shop")
		if err == nil && u == nil {
			err = errors.New("there is no App")
		}
		if err != nil {
			return err
		}
		if err := f(ctx, u); err != nil {
			return fmt.Errorf("%w\nthe App: %v", err, u.Object["status"])
		}
		return nil
	})
}

// appService of the App's status.
func appService(u *unstructured.Unstructured) map[string]any {
	services, _, _ := unstructured.NestedSlice(u.Object, "status", "connections", "services")
	if len(services) == 0 {
		return nil
	}
	s, _ := services[0].(map[string]any)
	return s
}

// kubelet that has started a pod, which is all that readiness needs here.
func (t *team) kubelet(pod *corev1.Pod) {
	t.t.Helper()
	pod.Status.Phase = corev1.PodRunning
	pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
	if err := t.Client.Status().Update(t.t.Context(), pod); err != nil {
		t.t.Fatal(err)
	}
}

// TestDesired renders a workload and connects it in one pipeline. The workload is
// born with its connections, so that there is nothing to restart.
func TestDesired(t *testing.T) {
	t.Parallel()
	team := newApps(t)
	team.app("registry.example.org/shop:1", "{type: awsRole, role: my-app-s3-access}, "+cloudSQL)
	team.eventuallyApp("connected", func(_ context.Context, u *unstructured.Unstructured) error {
		if s, _, _ := unstructured.NestedString(u.Object, "status", "connections", "connected"); s != "2/2" {
			return fmt.Errorf("connected %q, want 2/2", s)
		}
		if s := appService(u); s["delivery"] != string(claim.DeliveryDesired) || s["restart"] != nil {
			return fmt.Errorf("delivery %v, restart %v; want Desired and none", s["delivery"], s["restart"])
		}
		return nil
	})
	var deployment *unstructured.Unstructured
	team.eventually("the workload is connected", func(ctx context.Context) (err error) {
		deployment, err = team.Get(ctx, "apps/v1", "Deployment", team.namespace, "api")
		if err == nil && deployment == nil {
			err = errors.New("there is no Deployment")
		}
		if err != nil {
			return err
		}
		if sa, _, _ := unstructured.NestedString(deployment.Object, "spec", "template", "spec", "serviceAccountName"); sa != "shop-api" {
			return fmt.Errorf("the workload runs as %q", sa)
		}
		return nil
	})
	if got := deployment.GetAnnotations()["example.org/image"]; got != "registry.example.org/shop:1" {
		t.Errorf("the last step wrote image %q: annotations %v", got, deployment.GetAnnotations())
	}
	// A rollout may have come before the last connection.
	var pod *corev1.Pod
	team.eventually("a pod of the connected workload", func(ctx context.Context) (err error) {
		pod, err = team.podOfDesired(ctx, func(p *corev1.Pod) bool { return len(p.Spec.InitContainers) > 0 })
		return err
	})
	team.wantPod(pod, `
serviceAccount shop-api
label example.org/app=shop
volume eks-pod-identity-token token pods.eks.amazonaws.com 86400s eks-pod-identity-token
sidecar sc-cloud-sql-proxy `+proxyImage+`
  args `+proxyArgs+`
container main registry.example.org/shop:1
  env AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE=/var/run/secrets/pods.eks.amazonaws.com/serviceaccount/eks-pod-identity-token
  env AWS_CONTAINER_CREDENTIALS_FULL_URI=http://169.254.170.23/v1/credentials
  env AWS_DEFAULT_REGION=eu-west-1
  env AWS_REGION=eu-west-1
  env AWS_STS_REGIONAL_ENDPOINTS=regional
  env DB_HOST=127.0.0.1
  env DB_INSTANCE_CONNECTION_NAME=my-project-123456:europe-west1:orders
  env DB_PORT=5432
  mount eks-pod-identity-token /var/run/secrets/pods.eks.amazonaws.com/serviceaccount ro
`)
	team.kubelet(pod)
	team.eventuallyApp("Ready", func(ctx context.Context, _ *unstructured.Unstructured) error {
		return team.HasCondition(ctx, "example.org/v1alpha1", "App", team.namespace, "shop", "Ready")
	})
}

// TestDesiredEdit takes a connection out of an App: the workload loses it with a
// rollout, and keeps what the other steps gave it.
func TestDesiredEdit(t *testing.T) {
	t.Parallel()
	team := newApps(t)
	team.app("registry.example.org/shop:1", "{type: awsRole, role: my-app-s3-access}, "+cloudSQL)
	team.eventually("the workload has both connections", func(ctx context.Context) error {
		return team.desired(ctx, "sc-cloud-sql-proxy", "eks-pod-identity-token")
	})
	uid := team.get("apps/v1", "Deployment", "api").GetUID()
	team.app("registry.example.org/shop:2", "{type: awsRole, role: my-app-s3-access}")
	team.eventually("the workload has one connection", func(ctx context.Context) error {
		return team.desired(ctx, "", "eks-pod-identity-token")
	})
	team.eventually("a pod of the new image that keeps the rest", func(ctx context.Context) error {
		_, err := team.podOfDesired(ctx, func(p *corev1.Pod) bool {
			return p.Spec.Containers[0].Image == "registry.example.org/shop:2" && len(p.Spec.InitContainers) == 0 &&
				p.Labels["example.org/app"] == "shop" && p.Spec.ServiceAccountName == "shop-api"
		})
		return err
	})
	if got := team.get("apps/v1", "Deployment", "api").GetUID(); got != uid {
		t.Errorf("the Deployment was made anew: UID %s, was %s", got, uid)
	}
}

// desired workload: its only init container, or none, and its only volume.
func (t *team) desired(ctx context.Context, init, volume string) error {
	u, err := t.Get(ctx, "apps/v1", "Deployment", t.namespace, "api")
	if err == nil && u == nil {
		err = errors.New("there is no Deployment")
	}
	if err != nil {
		return err
	}
	for list, want := range map[string]string{"initContainers": init, "volumes": volume} {
		var names []string
		elements, _, _ := unstructured.NestedSlice(u.Object, "spec", "template", "spec", list)
		for _, e := range elements {
			m, _ := e.(map[string]any)
			name, _ := m["name"].(string)
			names = append(names, name)
		}
		if got := strings.Join(names, " "); got != want {
			return fmt.Errorf("%s are %q, want %q", list, got, want)
		}
	}
	return nil
}

// podOfDesired workload that is as it should be: others of it stay beside, since
// no kubelet ends a rollout.
func (t *team) podOfDesired(ctx context.Context, is func(*corev1.Pod) bool) (*corev1.Pod, error) {
	pods := &corev1.PodList{}
	if err := t.Client.List(ctx, pods, inTeam(t, "api")...); err != nil {
		return nil, err
	}
	var views []string
	for i := range pods.Items {
		if p := &pods.Items[i]; is(p) {
			return p, nil
		}
		views = append(views, view(&pods.Items[i]))
	}
	return nil, fmt.Errorf("no such pod:\n%s", strings.Join(views, "\n"))
}
