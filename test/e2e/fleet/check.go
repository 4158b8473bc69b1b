package fleet

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/serviceconnections/function-service-connections/fn/claim"
	"github.com/serviceconnections/function-service-connections/test/e2e/controlplane"
)

// maxTold is how many differences an error tells.
const maxTold = 12

// ofTeam marks a volume claim that nothing composes.
const ofTeam = " of the team"

// composed kinds of a mode.
func composed(mode controlplane.Mode) []schema.GroupVersionKind {
	of := schema.FromAPIVersionAndKind
	both := []schema.GroupVersionKind{of("v1", "ServiceAccount"), of("v1", "PersistentVolumeClaim")}
	if mode == controlplane.Claims {
		return append(both,
			of("iam.aws.upbound.io/v1beta1", "Role"),
			of("eks.aws.upbound.io/v1beta1", "PodIdentityAssociation"),
			of("managedidentity.azure.upbound.io/v1beta1", "UserAssignedIdentity"),
			of("managedidentity.azure.upbound.io/v1beta1", "FederatedIdentityCredential"),
			of("cloudplatform.gcp.upbound.io/v1beta2", "ServiceAccountIAMMember"),
			of("kubernetes.crossplane.io/v1alpha2", "Object"))
	}
	return append(both,
		of("iam.aws.m.upbound.io/v1beta1", "Role"),
		of("eks.aws.m.upbound.io/v1beta1", "PodIdentityAssociation"),
		of("managedidentity.azure.m.upbound.io/v1beta1", "UserAssignedIdentity"),
		of("managedidentity.azure.m.upbound.io/v1beta1", "FederatedIdentityCredential"),
		of("cloudplatform.gcp.m.upbound.io/v1beta1", "ServiceAccountIAMMember"),
		of("kubernetes.m.crossplane.io/v1alpha1", "Object"))
}

// list all objects of a kind.
func (f *Fleet) list(ctx context.Context, gvk schema.GroupVersionKind) ([]unstructured.Unstructured, error) {
	l := &unstructured.UnstructuredList{}
	l.SetGroupVersionKind(gvk.GroupVersion().WithKind(gvk.Kind + "List"))
	if err := f.Client.List(ctx, l); err != nil {
		return nil, fmt.Errorf("cannot list %s: %w", gvk.Kind, err)
	}
	return l.Items, nil
}

// check everything. It returns the UIDs of what is composed and of the volume
// claims that hold data.
func (f *Fleet) check(ctx context.Context) (map[string]types.UID, error) {
	uids, differences, err := f.checkObjects(ctx)
	if err != nil {
		return nil, err
	}
	for _, check := range []func(context.Context) ([]string, error){f.checkClaims, f.checkComposites, f.checkCloud, f.checkPods} {
		more, err := check(ctx)
		if err != nil {
			return nil, err
		}
		differences = append(differences, more...)
	}
	return uids, told(differences)
}

// told differences as an error, not all of them.
func told(differences []string) error {
	if len(differences) == 0 {
		return nil
	}
	slices.Sort(differences)
	return fmt.Errorf("%d differences from what must be:\n%s", len(differences), strings.Join(differences[:min(maxTold, len(differences))], "\n"))
}

// checkObjects that are composed: none is missing, and none orphaned.
func (f *Fleet) checkObjects(ctx context.Context) (uids map[string]types.UID, differences []string, err error) {
	wanted, _ := f.wanted()
	uids = map[string]types.UID{}
	for _, gvk := range composed(f.Mode) {
		all, err := f.list(ctx, gvk)
		if err != nil {
			return nil, nil, err
		}
		for i := range all {
			differences = append(differences, f.checkObject(&all[i], wanted, uids)...)
			if err := f.resume(ctx, &all[i]); err != nil {
				return nil, nil, err
			}
		}
	}
	for key := range wanted {
		if _, ok := uids[key]; !ok {
			difference := key + ": is missing"
			if users := f.disks[key]; users != nil {
				difference += fmt.Sprint(" for one of ", users)
			}
			differences = append(differences, difference)
		}
	}
	return uids, differences, nil
}

// CreatePending is the annotation with which a provider says that it begins to create
// something (crossplane-runtime, pkg/meta/meta.go, AnnotationKeyExternalCreatePending).
const CreatePending = "crossplane.io/external-create-pending"

// resume an object that is being deleted and whose provider doesn't know whether it had
// created anything, as docs/operate.md says: the function isn't asked any more.
func (f *Fleet) resume(ctx context.Context, u *unstructured.Unstructured) error {
	if u.GetDeletionTimestamp() == nil || u.GetAnnotations()[CreatePending] == "" || !strings.Contains(fmt.Sprint(u.Object["status"]), "cannot determine creation result") {
		return nil
	}
	patch := fmt.Appendf(nil, `{"metadata":{"annotations":{%q:null,"resumed":"yes"}}}`, CreatePending)
	if err := client.IgnoreNotFound(f.Client.Patch(ctx, u, client.RawPatch(types.MergePatchType, patch))); err != nil {
		return fmt.Errorf("cannot annotate %s %q of namespace %q: %w", u.GetKind(), u.GetName(), u.GetNamespace(), err)
	}
	return nil
}

func (f *Fleet) checkObject(u *unstructured.Unstructured, wanted map[string]string, uids map[string]types.UID) []string {
	namespace := cmp.Or(u.GetNamespace(), u.GetLabels()["crossplane.io/claim-namespace"])
	if !f.namespaces[namespace] {
		return nil
	}
	key, value := identify(namespace, u)
	if u.GetLabels()["crossplane.io/composite"] == "" {
		if u.GetKind() == "PersistentVolumeClaim" {
			uids[key+ofTeam] = u.GetUID()
		}
		return nil
	}
	want, ok := wanted[key]
	switch {
	case !ok && f.leftOf(u.GetKind(), key, value):
		return nil
	case !ok && !f.disks.may(key, f.Claims()):
		return []string{key + ": must not be there"}
	case uids[key] != "":
		return []string{key + ": is there twice"}
	case want != "" && value != want:
		return []string{key + ": grants " + value + ", must be " + want}
	case u.GetDeletionTimestamp() != nil:
		return []string{key + ": is being deleted"}
	}
	uids[key] = u.GetUID()
	return nil
}

// leftOf a refused role: what grants nothing, or another role that its service had.
func (f *Fleet) leftOf(kind, key, value string) bool {
	switch kind {
	case "Role":
		return strings.HasSuffix(key, " "+f.refused)
	case "PodIdentityAssociation":
		return f.keeps(strings.TrimPrefix(key, kind+" "), value)
	default:
		return false
	}
}

// identify a composed object by what it is for, and tell what it grants where
// that may change in place.
func identify(namespace string, u *unstructured.Unstructured) (key, value string) {
	parameter := func(fields ...string) string {
		s, _, _ := unstructured.NestedString(u.Object, append([]string{"spec", "forProvider"}, fields...)...)
		return s
	}
	external := path.Base(u.GetAnnotations()["crossplane.io/external-name"])
	resource := u.GetAnnotations()["crossplane.io/composition-resource-name"]
	account, _, _ := strings.Cut(resource, ".")
	key = u.GetKind() + " " + namespace + "/"
	switch u.GetKind() {
	case "Object":
		return key + parameter("manifest", "metadata", "name"), ""
	case "Role", "UserAssignedIdentity":
		return key + account + " " + external, ""
	case "PodIdentityAssociation":
		return key + parameter("serviceAccount"), parameter("roleArn")
	case "FederatedIdentityCredential":
		return key + account + " " + path.Base(parameter("parentId")), ""
	case "ServiceAccountIAMMember":
		return key + account + " " + path.Base(parameter("serviceAccountId")), ""
	default:
		return key + u.GetName(), ""
	}
}

// checkClaims: what the team reads. On the way, the team does what it reads.
func (f *Fleet) checkClaims(ctx context.Context) (differences []string, err error) {
	all, err := f.list(ctx, schema.FromAPIVersionAndKind(apiVersion, kind))
	if err != nil {
		return nil, err
	}
	seen := map[types.NamespacedName]bool{}
	for i := range all {
		key := client.ObjectKeyFromObject(&all[i])
		if !f.namespaces[key.Namespace] {
			continue
		}
		seen[key] = true
		c, ok := f.claims[key]
		if !ok {
			differences = append(differences, fmt.Sprintf("claim %s: must not be there", key))
			continue
		}
		more, err := f.checkClaim(ctx, c, &all[i])
		if err != nil {
			return nil, err
		}
		differences = append(differences, more...)
	}
	for key := range f.claims {
		if !seen[key] {
			differences = append(differences, fmt.Sprintf("claim %s: is missing", key))
		}
	}
	return differences, nil
}

// A condition of an object.
type condition struct {
	Type    string `json:"type"`
	Status  string `json:"status"`
	Reason  string `json:"reason"`
	Message string `json:"message"`
}

// A shown claim is what the team reads.
type shown struct {
	Status struct {
		claim.Status `json:",inline"`

		Conditions []condition `json:"conditions"`
	} `json:"status"`
}

func (f *Fleet) checkClaim(ctx context.Context, c Claim, u *unstructured.Unstructured) (differences []string, err error) {
	o := shown{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, &o); err != nil {
		return nil, fmt.Errorf("cannot read claim %s/%s: %w", c.Namespace, c.Name, err)
	}
	for _, s := range o.Status.Services {
		if err := f.handOver(ctx, s); err != nil {
			return nil, err
		}
		for _, n := range s.Notes {
			if n.Reason == "Superseded" && !f.refuses(c, s.Name) && !f.disks.keeps(c, s.Name) {
				differences = append(differences, "service "+s.Name+": "+n.Message)
			}
		}
		if s.Restart != "" {
			differences = append(differences, "service "+s.Name+" asks for "+s.Restart)
			if err := f.restart(ctx, c.Namespace, c.workload(s.Name)); err != nil {
				return nil, err
			}
		}
	}
	differences = append(differences, f.checkReasons(c, o)...)
	if observed := o.Status.ObservedGeneration; observed == nil || *observed != u.GetGeneration() {
		differences = append(differences, fmt.Sprintf("the status isn't about generation %d", u.GetGeneration()))
	}
	for i := range differences {
		differences[i] = fmt.Sprintf("claim %s/%s: %s", c.Namespace, c.Name, differences[i])
	}
	return differences, nil
}

// handOver the association that a provider had made for a service and didn't write down,
// by the command that the status has for it.
func (f *Fleet) handOver(ctx context.Context, s claim.ServiceStatus) error {
	for _, c := range s.Connections {
		_, command, ok := strings.Cut(c.Message, "to hand it over: kubectl ")
		if !ok || !f.Killed {
			continue
		}
		cmd := exec.CommandContext(ctx, filepath.Join(f.Root, ".cache", "bin", "kubectl"), strings.Fields(command)...)
		cmd.Env = append(os.Environ(), "KUBECONFIG="+f.Kubeconfig)
		// The status is a moment old: the object may be gone, or handed over already.
		if out, err := cmd.CombinedOutput(); err != nil && !strings.Contains(string(out), "not found") && !strings.Contains(string(out), "already has a value") {
			return fmt.Errorf("cannot hand over: %w: %s", err, out)
		}
	}
	return nil
}

// checkReasons of a claim's connections, and its conditions, which follow from
// them.
func (f *Fleet) checkReasons(c Claim, o shown) (differences []string) {
	reasons := map[string]string{}
	for _, s := range o.Status.Services {
		for _, co := range s.Connections {
			reasons[s.Name+" "+co.ID().String()] = co.Reason
		}
	}
	all, good := 0, 0
	for _, s := range c.Services {
		for _, co := range s.connections(c.Namespace) {
			typ, _ := co.(map[string]any)["type"].(string)
			all++
			want := f.reasonOf(s, typ)
			if want == "Connected" {
				good++
			}
			if got := reasons[s.Name+" "+typ]; got != want {
				differences = append(differences, fmt.Sprintf("service %s: %s is %q, must be %q", s.Name, typ, got, want))
			}
		}
	}
	if want := fmt.Sprintf("%d/%d", good, all); o.Status.Connected != want {
		differences = append(differences, fmt.Sprintf("connected is %q, must be %q", o.Status.Connected, want))
	}
	want := map[string]string{"Ready": "True", "Synced": "True", "SettingsResolved": "True", "Valid": "True", "Connected": "True", "Stalled": "False"}
	if good < all {
		want["Ready"], want["Connected"], want["Stalled"] = "False", "False", "True"
	}
	for _, condition := range o.Status.Conditions {
		if want[condition.Type] == condition.Status {
			delete(want, condition.Type)
		}
	}
	if len(want) > 0 {
		differences = append(differences, fmt.Sprintf("conditions lack %v: %v", want, o.Status.Conditions))
	}
	return differences
}

// checkComposites: in claims mode there is one for each claim.
func (f *Fleet) checkComposites(ctx context.Context) (differences []string, err error) {
	if f.Mode != controlplane.Claims {
		return nil, nil
	}
	all, err := f.list(ctx, schema.FromAPIVersionAndKind(apiVersion, "X"+kind))
	if err != nil {
		return nil, err
	}
	seen := map[types.NamespacedName]bool{}
	for i := range all {
		labels := all[i].GetLabels()
		key := types.NamespacedName{Namespace: labels["crossplane.io/claim-namespace"], Name: labels["crossplane.io/claim-name"]}
		if !f.namespaces[key.Namespace] {
			continue
		}
		if _, ok := f.claims[key]; !ok || seen[key] {
			differences = append(differences, fmt.Sprintf("composite resource %s of claim %s: must not be there", all[i].GetName(), key))
		}
		seen[key] = true
	}
	return differences, nil
}

// checkCloud: it holds what the claims ask for, and no more.
func (f *Fleet) checkCloud(context.Context) (differences []string, err error) {
	_, lines := f.wanted()
	left := map[string]bool{}
	for _, line := range lines {
		left[line] = true
	}
	for _, line := range f.Cloud.Contents() {
		if !f.ours(line) {
			continue
		}
		if rest, ok := strings.CutPrefix(line, "credential "); ok {
			// Its name is the function's to choose.
			_, rest, _ = strings.Cut(rest, " ")
			line = "credential " + rest
		}
		account, arn, _ := strings.Cut(strings.TrimPrefix(line, "association one "), " -> ")
		if !left[line] && !f.keeps(account, arn) {
			differences = append(differences, "cloud: must not have "+line)
			if f.Killed && arn != "" && !slices.ContainsFunc(lines, func(l string) bool { return strings.HasPrefix(l, "association one "+account+" ") }) {
				namespace, name, _ := strings.Cut(account, "/")
				f.Cloud.RemoveAssociation("one", namespace, name)
			}
		}
		delete(left, line)
	}
	for line := range left {
		differences = append(differences, "cloud: lacks "+line)
	}
	return differences, nil
}

// AwaitGranted until the cloud holds what the claims ask for, and no more. What composes
// it, and what the claims say, may be anything.
func (f *Fleet) AwaitGranted(ctx context.Context) error {
	return controlplane.Poll(ctx, func(ctx context.Context) error {
		differences, err := f.checkCloud(ctx)
		if err != nil {
			return err
		}
		return told(differences)
	})
}

// ours is a line of the cloud that is about a namespace of the fleet.
func (f *Fleet) ours(line string) bool {
	// Namespaces stand before a ServiceAccount's name.
	for _, word := range strings.FieldsFunc(line, func(r rune) bool { return strings.ContainsRune(" /:[]", r) }) {
		if f.namespaces[word] {
			return true
		}
	}
	return false
}

// checkPods: each service that is deployed has a pod with the injection that is
// published now.
func (f *Fleet) checkPods(ctx context.Context) (differences []string, err error) {
	if f.Replicas <= 0 {
		return nil, nil
	}
	pods := &corev1.PodList{}
	if err := f.Client.List(ctx, pods); err != nil {
		return nil, fmt.Errorf("cannot list pods: %w", err)
	}
	injected := map[string]bool{}
	for i := range pods.Items {
		p := &pods.Items[i]
		injected[p.Namespace+"/"+p.Labels["app"]+" "+p.Spec.ServiceAccountName+" "+p.Annotations["serviceconnections.io/injection"]] = true
	}
	all, err := f.list(ctx, schema.FromAPIVersionAndKind(apiVersion, kind))
	if err != nil {
		return nil, err
	}
	for i := range all {
		c, ok := f.claims[client.ObjectKeyFromObject(&all[i])]
		if !ok {
			continue
		}
		o := shown{}
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(all[i].Object, &o); err != nil {
			return nil, fmt.Errorf("cannot read claim %s/%s: %w", c.Namespace, c.Name, err)
		}
		for _, s := range o.Status.Services {
			difference, err := f.checkPod(ctx, c, s, injected)
			if err != nil {
				return nil, err
			}
			differences = append(differences, difference...)
		}
	}
	return differences, nil
}

// checkPod of a service. Injected are the pods that there are, by namespace and
// workload, ServiceAccount and injection.
func (f *Fleet) checkPod(ctx context.Context, c Claim, s claim.ServiceStatus, injected map[string]bool) (differences []string, err error) {
	switch {
	case f.refuses(c, s.Name):
		// It has none while one of its connections is refused.
		return nil, nil
	case s.Injection == nil || !s.Injection.Complete:
		return []string{fmt.Sprintf("claim %s/%s: service %s has no complete injection", c.Namespace, c.Name, s.Name)}, nil
	case injected[c.Namespace+"/"+c.workload(s.Name)+" "+s.ServiceAccountName+" "+s.Injection.Hash]:
		return nil, nil
	case f.RestartPlain && s.Restart == "":
		var done bool
		if done, err = f.rolledOut(ctx, c.Namespace, c.workload(s.Name)); done {
			err = f.restart(ctx, c.Namespace, c.workload(s.Name))
		}
	}
	return []string{fmt.Sprintf("claim %s/%s: no pod of service %s runs as %s with the injection", c.Namespace, c.Name, s.Name, s.ServiceAccountName)}, err
}

// Versions of everything of the fleet, claims and what is composed.
func (f *Fleet) Versions(ctx context.Context) (map[string]string, error) {
	versions := map[string]string{}
	for _, gvk := range append(composed(f.Mode), schema.FromAPIVersionAndKind(apiVersion, kind)) {
		all, err := f.list(ctx, gvk)
		if err != nil {
			return nil, err
		}
		for i := range all {
			if u := &all[i]; f.namespaces[cmp.Or(u.GetNamespace(), u.GetLabels()["crossplane.io/claim-namespace"])] {
				versions[u.GetKind()+" "+u.GetNamespace()+"/"+u.GetName()] = u.GetResourceVersion()
			}
		}
	}
	return versions, nil
}

// Composed objects that there must be.
func (f *Fleet) Composed() int {
	wanted, _ := f.wanted()
	return len(wanted)
}
