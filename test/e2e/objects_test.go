package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	kerrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/serviceconnections/function-service-connections/fn/claim"
	"github.com/serviceconnections/function-service-connections/test/e2e/controlplane"
)

const (
	claimVersion = "serviceconnections.io/v1alpha1"
	claimKind    = "ServiceConnection"
)

// foreignVolumeClaim of a name, which somebody made.
const foreignVolumeClaim = `
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: %s, labels: {made-by: hand}}
spec: {accessModes: [ReadWriteMany], resources: {requests: {storage: 3Gi}}}
`

// everything is a service that has a connection of each type.
const everything = `
- name: api
  connections:
  - {type: awsRole, role: my-app-s3-access}
  - {type: azureManagedIdentity, identityName: shop, resourceGroup: rg-shop}
  - type: cloudSql
    config: {cloudSqlConnectionName: "my-project-123456:europe-west1:shop", cloudSqlDatabasePort: 5432, cloudSqlServiceAccount: sql-client}
  - {type: disk, config: {diskName: uploads}}
  - {type: gcpServiceAccount, serviceAccountEmail: sql-client@my-project-123456.iam.gserviceaccount.com}
`

// claim of the team, which must be there.
func (t *team) claim(ctx context.Context) (*unstructured.Unstructured, error) {
	u, err := t.Get(ctx, claimVersion, claimKind, t.namespace, "shop")
	if err == nil && u == nil {
		err = fmt.Errorf("there is no claim")
	}
	return u, err
}

// composite resource of the team's claim.
func (t *team) composite(ctx context.Context) (*unstructured.Unstructured, error) {
	u, err := t.claim(ctx)
	if err != nil || t.mode == controlplane.Namespaced {
		return u, err
	}
	name, _, _ := unstructured.NestedString(u.Object, "spec", "resourceRef", "name")
	xr, err := t.Get(ctx, claimVersion, "XServiceConnection", "", name)
	if err == nil && xr == nil {
		err = fmt.Errorf("there is no composite resource yet")
	}
	return xr, err
}

// composed resources of the team's claim, by kind and name, as Crossplane lists
// them.
func (t *team) composed(ctx context.Context) (map[string]*unstructured.Unstructured, error) {
	xr, err := t.composite(ctx)
	if err != nil {
		return nil, err
	}
	path := []string{"spec", "crossplane", "resourceRefs"}
	if t.mode == controlplane.Claims {
		path = []string{"spec", "resourceRefs"}
	}
	refs, _, err := unstructured.NestedSlice(xr.Object, path...)
	if err != nil {
		return nil, err
	}
	all := map[string]*unstructured.Unstructured{}
	for _, v := range refs {
		ref, _ := v.(map[string]any)
		get := func(k string) string { s, _ := ref[k].(string); return s }
		namespace := t.namespace
		if t.mode == controlplane.Claims {
			namespace = get("namespace")
		}
		u, err := t.Get(ctx, get("apiVersion"), get("kind"), namespace, get("name"))
		if err != nil {
			return nil, err
		}
		if u != nil {
			all[get("kind")+" "+get("name")] = u
		}
	}
	return all, nil
}

// objects that are composed now.
func (t *team) objects() map[string]*unstructured.Unstructured {
	t.t.Helper()
	all, err := t.composed(t.t.Context())
	if err != nil {
		t.t.Fatal(err)
	}
	return all
}

// the is the only composed object of a kind.
func (t *team) the(kind string) *unstructured.Unstructured {
	t.t.Helper()
	var found []*unstructured.Unstructured
	for key, o := range t.objects() {
		if strings.HasPrefix(key, kind+" ") {
			found = append(found, o)
		}
	}
	if len(found) != 1 {
		t.t.Fatalf("%d objects of kind %s are composed, want 1", len(found), kind)
	}
	return found[0]
}

// awaitNumber of composed objects of a kind.
func (t *team) awaitNumber(kind string, n int) {
	t.t.Helper()
	t.eventually(fmt.Sprintf("%d of kind %s", n, kind), func(ctx context.Context) error {
		all, err := t.composed(ctx)
		if err != nil {
			return err
		}
		maps.DeleteFunc(all, func(key string, _ *unstructured.Unstructured) bool { return !strings.HasPrefix(key, kind+" ") })
		if len(all) != n {
			return fmt.Errorf("composed are %v", slices.Sorted(maps.Keys(all)))
		}
		return nil
	})
}

// same fails the test if an object isn't the one that it was.
func (t *team) same(reason string, was *unstructured.Unstructured) {
	t.t.Helper()
	now, err := t.Get(t.t.Context(), was.GetAPIVersion(), was.GetKind(), was.GetNamespace(), was.GetName())
	switch {
	case err != nil:
		t.t.Fatal(err)
	case now == nil:
		t.t.Errorf("%s: %s %q is gone", reason, was.GetKind(), was.GetName())
	case now.GetUID() != was.GetUID():
		t.t.Errorf("%s: %s %q was made anew", reason, was.GetKind(), was.GetName())
	case now.GetDeletionTimestamp() != nil:
		t.t.Errorf("%s: %s %q is being deleted", reason, was.GetKind(), was.GetName())
	}
}

// untouched fails the test if an object isn't byte for byte what it was, but for
// its status and who wrote that.
func (t *team) untouched(reason string, was *unstructured.Unstructured) {
	t.t.Helper()
	now, err := t.Get(t.t.Context(), was.GetAPIVersion(), was.GetKind(), was.GetNamespace(), was.GetName())
	if err != nil {
		t.t.Fatal(err)
	}
	if now == nil {
		t.t.Errorf("%s: %s %q is gone", reason, was.GetKind(), was.GetName())
		return
	}
	if a, b := written(t, was), written(t, now); a != b {
		t.t.Errorf("%s: %s %q was\n%s\nand is\n%s", reason, was.GetKind(), was.GetName(), a, b)
	}
}

// written is an object without its status, and who owns which of its fields.
func written(t *team, u *unstructured.Unstructured) string {
	o := u.DeepCopy()
	unstructured.RemoveNestedField(o.Object, "status")
	o.SetResourceVersion("")
	owners := map[string]string{}
	for _, m := range o.GetManagedFields() {
		if m.Subresource == "" {
			owners[m.Manager+" "+string(m.Operation)] += string(m.FieldsV1.Raw)
		}
	}
	o.SetManagedFields(nil)
	b, err := json.MarshalIndent(map[string]any{"object": o.Object, "owners": owners}, "", " ")
	if err != nil {
		t.t.Fatal(err)
	}
	return string(b)
}

// awaitGone object.
func (t *team) awaitGone(u *unstructured.Unstructured) {
	t.t.Helper()
	t.eventually(fmt.Sprintf("%s %q is gone", u.GetKind(), u.GetName()), func(ctx context.Context) error {
		now, err := t.Get(ctx, u.GetAPIVersion(), u.GetKind(), u.GetNamespace(), u.GetName())
		if err == nil && now != nil && now.GetUID() == u.GetUID() {
			err = fmt.Errorf("it is there, deleted at %v, finalizers %v", now.GetDeletionTimestamp(), now.GetFinalizers())
		}
		return err
	})
}

// deleteClaim and wait until all that it composed is gone.
func (t *team) deleteClaim(ctx context.Context) error {
	u, err := t.Get(ctx, claimVersion, claimKind, t.namespace, "shop")
	if err != nil || u == nil {
		return err
	}
	composed, err := t.composed(ctx)
	if err != nil {
		return err
	}
	if err := t.Client.Delete(ctx, u); err != nil && !kerrors.IsNotFound(err) {
		return fmt.Errorf("cannot delete the claim: %w", err)
	}
	return controlplane.Poll(ctx, func(ctx context.Context) error {
		for key, o := range composed {
			now, err := t.Get(ctx, o.GetAPIVersion(), o.GetKind(), o.GetNamespace(), o.GetName())
			if err != nil {
				return err
			}
			if now != nil && now.GetUID() == o.GetUID() && (o.GetKind() != "PersistentVolumeClaim" || now.GetDeletionTimestamp() == nil) {
				return fmt.Errorf("%s is there", key)
			}
		}
		if now, err := t.Get(ctx, claimVersion, claimKind, t.namespace, "shop"); err != nil || now != nil {
			return fmt.Errorf("the claim is there: %w", err)
		}
		return nil
	})
}

// service in the claim's status.
func (t *team) service(ctx context.Context, name string) (claim.ServiceStatus, error) {
	s, err := t.status(ctx)
	if err != nil {
		return claim.ServiceStatus{}, err
	}
	for _, svc := range s.Services {
		if svc.Name == name {
			return svc, nil
		}
	}
	return claim.ServiceStatus{}, fmt.Errorf("the status has no service %q", name)
}

// awaitConnected pod: one that runs as a ServiceAccount with the injection that
// is published now.
func (t *team) awaitConnected(service, serviceAccount string) *corev1.Pod {
	t.t.Helper()
	var pod *corev1.Pod
	t.eventually("a connected pod of "+service, func(ctx context.Context) error {
		s, err := t.service(ctx, service)
		if err != nil {
			return err
		}
		if s.Injection == nil {
			return fmt.Errorf("no injection is published")
		}
		pods := &corev1.PodList{}
		if err := t.Client.List(ctx, pods, client.InNamespace(t.namespace), client.MatchingLabels{"app": service}); err != nil {
			return fmt.Errorf("cannot list pods: %w", err)
		}
		var seen []string
		for i := range pods.Items {
			p := &pods.Items[i]
			if p.Spec.ServiceAccountName == serviceAccount && p.Annotations[annotationInjection] == s.Injection.Hash {
				pod = p
				return nil
			}
			seen = append(seen, fmt.Sprintf("%s as %s with %q", p.Name, p.Spec.ServiceAccountName, p.Annotations[annotationInjection]))
		}
		return fmt.Errorf("want one as %s with %q, there are %v", serviceAccount, s.Injection.Hash, seen)
	})
	return pod
}

// awaitRestart that the status asks for.
func (t *team) awaitRestart(service string) string {
	t.t.Helper()
	var command string
	t.eventually(service+" asks for a restart", func(ctx context.Context) error {
		s, err := t.service(ctx, service)
		if command = s.Restart; err == nil && command == "" {
			err = fmt.Errorf("it doesn't")
		}
		return err
	})
	return command
}

// awaitNoRestart that the status asks for.
func (t *team) awaitNoRestart(service string) {
	t.t.Helper()
	t.eventually(service+" asks for no restart", func(ctx context.Context) error {
		if err := t.startPods(ctx); err != nil {
			return err
		}
		s, err := t.service(ctx, service)
		if err == nil && s.Restart != "" {
			err = fmt.Errorf("it asks for %s", s.Restart)
		}
		return err
	})
}

// startPods of the team: no node runs them, so nobody else says that they are ready.
// A rollout ends no old pod before.
func (t *team) startPods(ctx context.Context) error {
	pods := &corev1.PodList{}
	if err := t.Client.List(ctx, pods, client.InNamespace(t.namespace)); err != nil {
		return fmt.Errorf("cannot list pods: %w", err)
	}
	for i := range pods.Items {
		pod := &pods.Items[i]
		if pod.DeletionTimestamp != nil || pod.Status.Phase != corev1.PodPending {
			continue
		}
		pod.Status.Phase = corev1.PodRunning
		pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: pod.CreationTimestamp}}
		if err := t.Client.Status().Update(ctx, pod); err != nil && !kerrors.IsConflict(err) && !kerrors.IsNotFound(err) {
			return fmt.Errorf("cannot say that pod %q is ready: %w", pod.Name, err)
		}
	}
	return nil
}

// restart a service by exactly the command that the status asks for, which then
// is cleared.
func (t *team) restart(service string) {
	t.t.Helper()
	t.kubectl(t.awaitRestart(service))
	t.awaitNoRestart(service)
}

// kubectl runs a command line of kubectl as the status gives it.
func (t *team) kubectl(line string) {
	t.t.Helper()
	words := strings.Fields(line)
	if len(words) == 0 || words[0] != "kubectl" {
		t.t.Fatalf("%q is no command of kubectl", line)
	}
	// It restarts a workload once in a second.
	t.eventually(line, func(ctx context.Context) error {
		cmd := exec.CommandContext(ctx, filepath.Join(t.Root, ".cache", "bin", "kubectl"), words[1:]...)
		cmd.Env = append(os.Environ(), "KUBECONFIG="+t.Kubeconfig)
		out, err := cmd.CombinedOutput()
		if err != nil && !strings.Contains(string(out), "within the past second") {
			t.t.Fatalf("%s: %v: %s", line, err, out)
		}
		return err
	})
}

// awaitCondition of the claim with a status, and a message that holds a text.
func (t *team) awaitCondition(condition, status, message string) {
	t.t.Helper()
	t.eventually(condition+"="+status, func(ctx context.Context) error {
		u, err := t.claim(ctx)
		if err != nil {
			return err
		}
		return hasCondition(u, condition, status, "", message)
	})
}

// hasCondition returns nil if an object has a condition with a status, a reason,
// unless that is empty, and a message that holds a text.
func hasCondition(u *unstructured.Unstructured, condition, status, reason, message string) error {
	conditions, _, _ := unstructured.NestedSlice(u.Object, "status", "conditions")
	for _, v := range conditions {
		m, _ := v.(map[string]any)
		got, _ := m["message"].(string)
		if m["type"] == condition && m["status"] == status && (reason == "" || m["reason"] == reason) && strings.Contains(got, message) {
			return nil
		}
	}
	return fmt.Errorf("want a message with %q, conditions are %v", message, conditions)
}

// awaitNote of a service, or warning of one of its connections.
func (t *team) awaitNote(service, reason, message string) {
	t.t.Helper()
	t.eventually(service+" notes "+reason, func(ctx context.Context) error {
		s, err := t.service(ctx, service)
		if err != nil {
			return err
		}
		notes := slices.Clone(s.Notes)
		for _, c := range s.Connections {
			notes = append(notes, c.Warnings...)
		}
		for _, n := range notes {
			if n.Reason == reason && strings.Contains(n.Message, message) {
				return nil
			}
		}
		return fmt.Errorf("notes are %v", notes)
	})
}

// contents of the cloud that are for the team's namespace.
func (t *team) contents() []string {
	return slices.DeleteFunc(t.cloud.Contents(), func(line string) bool {
		return !strings.Contains(line, t.namespace+"/") && !strings.Contains(line, ":"+t.namespace+":") && !strings.Contains(line, "-"+t.namespace+"-")
	})
}

// awaitContents of the cloud for the team's namespace that hold each of the
// texts in a line of its own, and no other line.
func (t *team) awaitContents(what string, texts ...string) {
	t.t.Helper()
	t.eventually("the cloud has "+what, func(context.Context) error {
		got := t.contents()
		left := slices.Clone(got)
		for _, text := range texts {
			i := slices.IndexFunc(left, func(line string) bool { return strings.Contains(line, text) })
			if i < 0 {
				return fmt.Errorf("nothing of %v holds %q", got, text)
			}
			left = slices.Delete(left, i, i+1)
		}
		if len(left) > 0 {
			return fmt.Errorf("beside what is wanted it has %v", left)
		}
		return nil
	})
}

// changeSettings of the cluster. The test must have the cluster to itself.
func (t *team) changeSettings(edit func(data map[string]any)) {
	t.t.Helper()
	objects, err := controlplane.Parse(settings)
	if err != nil {
		t.t.Fatal(err)
	}
	data, _ := objects[0].Object["data"].(map[string]any)
	edit(data)
	if err := t.Apply(t.t.Context(), objects[0]); err != nil {
		t.t.Fatal(err)
	}
}

// section of the settings.
func section(data map[string]any, name string) map[string]any {
	m, _ := data[name].(map[string]any)
	return m
}

// claimOf services, as connect applies it.
func claimOf(services string) string {
	return "apiVersion: serviceconnections.io/v1alpha1\nkind: ServiceConnection\nmetadata: {name: shop}\nspec:\n  services:\n" + indent(services)
}

func serviceAccount(name string) string {
	return "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: " + name + "}\n"
}

// deploymentAs runs as a ServiceAccount of the team's own.
func deploymentAs(name, serviceAccount string) string {
	return strings.Replace(deployment(name), "    spec:\n", "    spec:\n      serviceAccountName: "+serviceAccount+"\n", 1)
}

// restartIfAsked runs exactly what the status says, where it says something.
func (t *team) restartIfAsked(service string) {
	t.t.Helper()
	t.eventually("the status knows the workload", func(ctx context.Context) error {
		s, err := t.service(ctx, service)
		if err == nil && (s.Rollout == nil || s.Injection == nil || s.Rollout.Injection != s.Injection.Hash) {
			err = fmt.Errorf("rollout %v", s.Rollout)
		}
		for _, n := range s.Notes {
			if n.Reason == "WorkloadNotFound" {
				err = fmt.Errorf("it doesn't see it: %s", n.Message)
			}
		}
		return err
	})
	s, err := t.service(t.t.Context(), service)
	if err != nil {
		t.t.Fatal(err)
	}
	if s.Restart != "" {
		t.kubectl(s.Restart)
	}
	t.awaitNoRestart(service)
}

// uninstall a provider: its controllers go with its CustomResourceDefinitions,
// after they have seen to what the API server deletes. It is back in the end.
func (t *team) uninstall(provider string) {
	t.t.Helper()
	t.away = true
	t.t.Cleanup(func() {
		if !t.away {
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), t.deadline)
		defer cancel()
		err := controlplane.Poll(ctx, func(ctx context.Context) error { return t.Uninstalled(ctx, provider) })
		if err := errors.Join(err, t.StopProviders(provider), t.reinstall(ctx, provider)); err != nil {
			t.t.Error(err)
		}
	})
	if err := t.UninstallProvider(t.t.Context(), provider); err != nil {
		t.t.Fatal(err)
	}
	t.eventually(provider+" is uninstalled", func(ctx context.Context) error { return t.Uninstalled(ctx, provider) })
	if err := t.StopProviders(provider); err != nil {
		t.t.Fatal(err)
	}
}

// install a provider, and run its controllers.
func (t *team) install(provider string) {
	t.t.Helper()
	if err := t.reinstall(t.t.Context(), provider); err != nil {
		t.t.Fatal(err)
	}
	t.away = false
}

func (c *cluster) reinstall(ctx context.Context, provider string) error {
	if err := c.InstallProviders(ctx, provider); err != nil {
		return fmt.Errorf("cannot install %s: %w", provider, err)
	}
	return c.runProviders(provider)
}

// awaitConnectedCount in the status, such as 3/4.
func (t *team) awaitConnectedCount(want string) {
	t.t.Helper()
	t.eventually(want+" are connected", func(ctx context.Context) error {
		s, err := t.status(ctx)
		if err == nil && s.Connected != want {
			err = fmt.Errorf("%s are", s.Connected)
		}
		return err
	})
}

// without the one line of services that holds a text.
func without(services, text string) string {
	lines := strings.Split(services, "\n")
	return strings.Join(slices.DeleteFunc(lines, func(line string) bool { return strings.Contains(line, text) }), "\n")
}

// deleteNow the team's claim, without waiting.
func (t *team) deleteNow() {
	t.t.Helper()
	u, err := t.claim(t.t.Context())
	if err != nil {
		t.t.Fatal(err)
	}
	if err := t.Client.Delete(t.t.Context(), u); err != nil {
		t.t.Fatal(err)
	}
}

// noClaim returns nil once the team's claim is gone.
func (t *team) noClaim(ctx context.Context) error {
	u, err := t.Get(ctx, claimVersion, claimKind, t.namespace, "shop")
	if err == nil && u != nil {
		err = fmt.Errorf("it is there, deleted at %v", u.GetDeletionTimestamp())
	}
	return err
}

// pod of a workload that runs as a ServiceAccount.
func (t *team) pod(app, serviceAccount string) func(context.Context) error {
	return func(ctx context.Context) error {
		pods := &corev1.PodList{}
		if err := t.Client.List(ctx, pods, client.InNamespace(t.namespace), client.MatchingLabels{"app": app}); err != nil {
			return fmt.Errorf("cannot list pods: %w", err)
		}
		var seen []string
		for i := range pods.Items {
			if seen = append(seen, pods.Items[i].Spec.ServiceAccountName); seen[i] == serviceAccount {
				return nil
			}
		}
		return fmt.Errorf("pods run as %v", seen)
	}
}

// may a ServiceAccount, as namespace/name, do something, or may it not, by the API
// server's own word. Rights follow what grants them at some distance.
func (t *team) may(serviceAccount string, want bool, do authorizationv1.ResourceAttributes) func(context.Context) error {
	return func(ctx context.Context) error {
		namespace, name, _ := strings.Cut(serviceAccount, "/")
		do.Namespace = t.namespace
		review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
			User:               "system:serviceaccount:" + namespace + ":" + name,
			Groups:             []string{"system:serviceaccounts", "system:serviceaccounts:" + namespace, "system:authenticated"},
			ResourceAttributes: &do,
		}}
		if err := t.Client.Create(ctx, review); err != nil {
			return fmt.Errorf("cannot ask: %w", err)
		}
		if review.Status.Allowed != want {
			return fmt.Errorf("allowed: %v, %s", review.Status.Allowed, review.Status.Reason)
		}
		return nil
	}
}

// settledObject is an object once Kubernetes' own controllers have done with
// it: a volume claim has its finalizer.
func (t *team) settledObject(apiVersion, kind, name string) *unstructured.Unstructured {
	t.t.Helper()
	var u *unstructured.Unstructured
	t.eventually(kind+" "+name+" has settled", func(ctx context.Context) (err error) {
		u, err = t.Get(ctx, apiVersion, kind, t.namespace, name)
		if err == nil && kind == "PersistentVolumeClaim" && len(u.GetFinalizers()) == 0 {
			err = fmt.Errorf("it has no finalizer yet")
		}
		return err
	})
	return u
}

// injectionNow that is published for a service, as JSON.
func (t *team) injectionNow(ctx context.Context, service string) string {
	s, err := t.service(ctx, service)
	if err != nil {
		return err.Error()
	}
	b, err := json.Marshal(s.Injection)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// awaitInjection that is complete, as JSON.
func (t *team) awaitInjection(service string) string {
	t.t.Helper()
	var injection string
	t.eventually("a complete injection", func(ctx context.Context) error {
		if injection = t.injectionNow(ctx, service); !strings.Contains(injection, `"complete":true`) {
			return fmt.Errorf("it is %s", injection)
		}
		return nil
	})
	return injection
}

// scope of an object as kubectl takes it.
func scope(o *unstructured.Unstructured) string {
	if o.GetNamespace() == "" {
		return ""
	}
	return "-n " + o.GetNamespace()
}

// kubectlName of an object, as kubectl takes it: kind.version.group/name.
func kubectlName(o *unstructured.Unstructured) string {
	gvk := o.GroupVersionKind()
	if gvk.Group == "" {
		return gvk.Kind + "/" + o.GetName()
	}
	return gvk.Kind + "." + gvk.Version + "." + gvk.Group + "/" + o.GetName()
}
