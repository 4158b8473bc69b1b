// Package fleet is many claims at once, of which it knows what must come of them:
// what is composed, what is in the cloud, and what the status says. It works that
// out by itself, from what the README promises, and asks none of the function's
// code.
package fleet

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	kerrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/serviceconnections/function-service-connections/test/e2e/cloud"
	"github.com/serviceconnections/function-service-connections/test/e2e/controlplane"
)

// writeTimeout of one write, which is tried again while the API server is away.
const writeTimeout = 2 * time.Minute

// A Claim of a fleet. Each has a namespace of its own, or shares that with others
// of other names.
type Claim struct {
	Namespace, Name string
	Services        []Service
}

// A Service of a claim. What is empty isn't asked for.
type Service struct {
	Name string

	// Role of AWS, one of Roles.
	Role string

	// Identity of Azure, one of Identities.
	Identity string

	// Account of Google, one of Accounts, for gcpServiceAccount and cloudSql.
	Account       string
	Google, Proxy bool

	// Disk is one of Disks. Two claims of one namespace share CacheStorage only.
	Disk string
}

// A Fleet of claims on a control plane that it has to itself, or at least their
// namespaces.
type Fleet struct {
	*controlplane.ControlPlane

	Cloud *cloud.Cloud
	Mode  controlplane.Mode

	// Replicas of each service's Deployment; negative: there are no Deployments.
	Replicas int32

	// RestartPlain says that the team restarts workloads whose pods have no
	// injection, as the README advises after an API server has started.
	RestartPlain bool

	// Killed says that providers may have died before they wrote down what they had made.
	// What EKS has given a name nobody finds then: the platform team hands it over, or
	// deletes what is left, as the status and docs/operate.md say.
	Killed bool

	// Inspect says that Crossplane reads the workloads.
	Inspect bool

	claims     map[types.NamespacedName]Claim
	disks      disks
	namespaces map[string]bool
	refused    string

	// uids of what was there when all had converged, while it is asked for, and
	// of the volume claims that hold data, for ever.
	uids, data map[string]types.UID
}

// NewCloud that has what the claims of fleets ask for.
func NewCloud() *cloud.Cloud {
	c := cloud.New()
	for role, path := range rolePaths {
		c.AddRole(path, role)
	}
	for _, account := range Accounts {
		c.AddGoogleAccount(email(account))
	}
	return c
}

// New fleet, which has no claims yet, in a cloud that has what NewCloud's has.
func New(cp *controlplane.ControlPlane, c *cloud.Cloud, mode controlplane.Mode) *Fleet {
	return &Fleet{
		ControlPlane: cp, Cloud: c, Mode: mode, Replicas: -1, Inspect: true,
		claims: map[types.NamespacedName]Claim{}, disks: disks{}, namespaces: map[string]bool{},
		uids: map[string]types.UID{}, data: map[string]types.UID{},
	}
}

// Claims of the fleet in the order of their names.
func (f *Fleet) Claims() []Claim {
	all := make([]Claim, 0, len(f.claims))
	for _, key := range slices.SortedFunc(maps.Keys(f.claims), func(a, b types.NamespacedName) int {
		return strings.Compare(a.String(), b.String())
	}) {
		all = append(all, f.claims[key])
	}
	return all
}

// Namespace of a name for claims, with the disk that its team has made by hand.
func (f *Fleet) Namespace(ctx context.Context, name string) error {
	f.namespaces[name] = true
	for _, identity := range Identities {
		f.Cloud.AddIdentity(armID(name, identity), tenantID)
	}
	for i := range fixedIdentities {
		f.Cloud.AddIdentity(armID(name, fixedIdentity(i*credentialsPerIdentity)), tenantID)
	}
	return f.write(ctx, func(ctx context.Context) error {
		ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
		if err := f.Client.Create(ctx, ns); err != nil && !kerrors.IsAlreadyExists(err) {
			return fmt.Errorf("cannot create namespace: %w", err)
		}
		return f.ApplyYAML(ctx, fmt.Sprintf(cacheStorage, name))
	})
}

// Put a claim as it shall be, whether it is there already or not. Its namespace
// must be.
func (f *Fleet) Put(ctx context.Context, c Claim) error {
	key := types.NamespacedName{Namespace: c.Namespace, Name: c.Name}
	f.disks.edited(f.claims[key], c)
	f.claims[key] = c
	f.forget()
	return f.write(ctx, func(ctx context.Context) error {
		if f.Replicas >= 0 {
			for _, s := range c.Services {
				if err := f.deploy(ctx, c, s.Name); err != nil {
					return err
				}
			}
		}
		// One that is being deleted would go with what is written to it.
		was, err := f.Get(ctx, apiVersion, kind, c.Namespace, c.Name)
		if err != nil {
			return err
		}
		if was != nil && was.GetDeletionTimestamp() != nil {
			return fmt.Errorf("claim %s/%s is being deleted", c.Namespace, c.Name)
		}
		return f.Apply(ctx, c.Object())
	})
}

// Remove a claim.
func (f *Fleet) Remove(ctx context.Context, c Claim) error {
	key := types.NamespacedName{Namespace: c.Namespace, Name: c.Name}
	f.disks.removed(f.claims[key])
	delete(f.claims, key)
	f.forget()
	return f.write(ctx, func(ctx context.Context) error {
		was, err := f.Get(ctx, apiVersion, kind, c.Namespace, c.Name)
		if err != nil || was == nil {
			return err
		}
		// Crossplane lets go of a claim whose composite resource it doesn't see, and
		// leaves that for ever if it only just made it.
		if _, seen, _ := unstructured.NestedString(was.Object, "status", "connected"); f.Mode == controlplane.Claims && !seen {
			return fmt.Errorf("claim %s/%s has nothing of its composite resource yet", c.Namespace, c.Name)
		}
		return client.IgnoreNotFound(f.Client.Delete(ctx, was))
	})
}

// Settings of the cluster are written anew: nobody may use the refused role, one
// of Roles or none. The note is a label, which changes nothing.
func (f *Fleet) Settings(ctx context.Context, refused, note string) error {
	f.refused = refused
	f.forget()
	return f.write(ctx, func(ctx context.Context) error { return f.ApplyYAML(ctx, f.settings(note)) })
}

// Refused role of the settings.
func (f *Fleet) Refused() string { return f.refused }

// Clear takes all claims away, and their namespaces out of the fleet.
func (f *Fleet) Clear(ctx context.Context) error {
	for _, c := range f.Claims() {
		if err := f.Remove(ctx, c); err != nil {
			return err
		}
	}
	if err := f.Await(ctx); err != nil {
		return err
	}
	clear(f.namespaces)
	clear(f.data)
	return nil
}

// ForgetStatuses of all that is composed for the fleet and has a provider, as a restore
// from a backup does. Nobody may write them meanwhile.
func (f *Fleet) ForgetStatuses(ctx context.Context) error {
	for _, gvk := range composed(f.Mode) {
		if gvk.Group == "" {
			continue // Kubernetes' own.
		}
		all, err := f.list(ctx, gvk)
		if err != nil {
			return err
		}
		for i := range all {
			all[i].Object["status"] = map[string]any{}
			if err := f.Client.Status().Update(ctx, &all[i]); err != nil {
				return fmt.Errorf("cannot write status of %s %q: %w", gvk.Kind, all[i].GetName(), err)
			}
		}
	}
	return nil
}

// write until it succeeds: the API server may be away.
func (*Fleet) write(ctx context.Context, try func(context.Context) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, writeTimeout, fmt.Errorf("not done after %s", writeTimeout))
	defer cancel()
	return controlplane.Poll(ctx, try)
}

// forget the objects that are no longer asked for: should they be asked for
// again, others may come.
func (f *Fleet) forget() {
	wanted, _ := f.wanted()
	maps.DeleteFunc(f.uids, func(key string, _ types.UID) bool { _, ok := wanted[key]; return !ok })
}

// deploy the workload of a service, as its team does, beside the claim.
func (f *Fleet) deploy(ctx context.Context, c Claim, service string) error {
	name := c.workload(service)
	labels := map[string]string{"app": name}
	d := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: c.Namespace, Name: name},
		Spec: appsv1.DeploymentSpec{
			Replicas: &f.Replicas,
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			// No node runs its pods, so none is ever ready, which a rolling update waits for.
			Strategy: appsv1.DeploymentStrategy{Type: appsv1.RecreateDeploymentStrategyType},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "registry.example.org/app:1"}}},
			},
		},
	}
	if err := f.Client.Create(ctx, d); err != nil && !kerrors.IsAlreadyExists(err) {
		return fmt.Errorf("cannot create Deployment %q: %w", name, err)
	}
	return nil
}

// rolledOut says whether a workload's last rollout has ended, so that another one
// doesn't begin it anew for ever.
func (f *Fleet) rolledOut(ctx context.Context, namespace, name string) (bool, error) {
	d := &appsv1.Deployment{}
	if err := f.Client.Get(ctx, types.NamespacedName{Namespace: namespace, Name: name}, d); err != nil {
		return false, fmt.Errorf("cannot get Deployment %q of namespace %q: %w", name, namespace, err)
	}
	return d.Status.ObservedGeneration >= d.Generation && d.Status.UpdatedReplicas >= f.Replicas && d.Status.Replicas == d.Status.UpdatedReplicas, nil
}

// restart a workload, as kubectl rollout restart does.
func (f *Fleet) restart(ctx context.Context, namespace, name string) error {
	d := &unstructured.Unstructured{}
	d.SetAPIVersion("apps/v1")
	d.SetKind("Deployment")
	d.SetNamespace(namespace)
	d.SetName(name)
	patch := fmt.Sprintf(`{"spec":{"template":{"metadata":{"annotations":{"kubectl.kubernetes.io/restartedAt":%q}}}}}`, time.Now().Format(time.RFC3339))
	if err := f.Client.Patch(ctx, d, client.RawPatch(types.MergePatchType, []byte(patch))); err != nil {
		return fmt.Errorf("cannot restart Deployment %q of namespace %q: %w", name, namespace, err)
	}
	return nil
}

// Await until all is as it must be, and the objects of before are still the same.
func (f *Fleet) Await(ctx context.Context) error {
	// A full cluster takes a while to list.
	const interval = time.Second
	for {
		seen, err := f.check(ctx)
		if err == nil {
			return f.same(seen)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", context.Cause(ctx), err)
		case <-time.After(interval):
		}
	}
}

// same objects as before, where they have been asked for ever since.
func (f *Fleet) same(now map[string]types.UID) error {
	var errs []error
	for _, key := range slices.Sorted(maps.Keys(f.uids)) {
		if now[key] != f.uids[key] {
			errs = append(errs, fmt.Errorf("%s was made anew: its UID was %q and is %q", key, f.uids[key], now[key]))
		}
	}
	for _, key := range slices.Sorted(maps.Keys(f.data)) {
		if now[key] != f.data[key] {
			errs = append(errs, fmt.Errorf("%s, which holds data, is lost: its UID was %q and is %q", key, f.data[key], now[key]))
		}
	}
	f.uids, f.data = map[string]types.UID{}, map[string]types.UID{}
	f.disks.settled(f.Claims(), func(object string) bool { return now[object] != "" })
	wanted, _ := f.wanted()
	for key, uid := range now {
		if _, ok := wanted[key]; ok {
			f.uids[key] = uid
		} else if strings.HasSuffix(key, ofTeam) {
			f.data[key] = uid
		}
	}
	return errors.Join(errs...)
}
