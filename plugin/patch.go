package plugin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"sigs.k8s.io/yaml"

	"github.com/serviceconnections/function-service-connections/fn/claim"
	"github.com/serviceconnections/function-service-connections/fn/workload"
	"github.com/serviceconnections/function-service-connections/plugin/cluster"
	"github.com/serviceconnections/function-service-connections/plugin/patch"
)

// The outputs of patch.
const (
	outputKustomize  = "kustomize"
	outputStrategic  = "strategic"
	outputHelmValues = "helm-values"
)

// patchOptions are the flags of patch.
type patchOptions struct {
	flags                            *genericclioptions.ConfigFlags
	file, service, workloads, output string
}

func newPatch(streams genericiooptions.IOStreams) *cobra.Command {
	o := patchOptions{flags: liveFlags()}
	cmd := &cobra.Command{
		Use:   "patch [NAME | -f FILE] -o kustomize|strategic|helm-values",
		Short: "Write what a service's pods get as a file, for clusters without the admission policy",
		Long: `Writes the injection that a ServiceConnection's status has for a service, as a file
to keep beside the workload. It is for clusters without MutatingAdmissionPolicy,
which Kubernetes has since 1.36. Write it anew when the status changes.

  kustomize     a Component with the patch of the workload
  strategic     a strategic merge patch of the workload, for kubectl patch
  helm-values   values by the names that many charts have; yours may have others

The two patches are made for the workload as the cluster has it, or as the file of
--workload does: for its containers, without variables that they set themselves,
and with the Cloud SQL sidecar before all init containers. Helm values know no
workload, so its order and the choice of containers are yours.`,
		Example: `  # A component, named under components in the kustomization of the workload
  kubectl serviceconnections patch shop -n team-a --service api -o kustomize > components/shop-api/kustomization.yaml

  # By files alone
  kubectl get serviceconnection shop -n team-a -o yaml > shop.yaml
  kubectl serviceconnections patch -f shop.yaml --service api --workload deployment.yaml -o kustomize

  # Patch the workload in the cluster
  kubectl serviceconnections patch shop -n team-a --service api -o strategic > patch.yaml
  kubectl patch deployment api -n team-a --patch-file patch.yaml`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: completeNames(o.flags),
		RunE: func(cmd *cobra.Command, args []string) error {
			if (len(args) == 1) == (o.file != "") {
				return errors.New("name either a ServiceConnection of the cluster, or a file with -f")
			}
			return o.run(cmd.Context(), streams, strings.Join(args, ""))
		},
	}
	f := cmd.Flags()
	f.StringVarP(&o.file, "filename", "f", "", "file with the ServiceConnection and its status, or - for standard input")
	f.StringVar(&o.service, "service", "", "service whose pods are meant; may be left out where there is one only")
	f.StringVar(&o.workloads, "workload", "", "file or directory with the service's workload, instead of the cluster's")
	f.StringVarP(&o.output, "output", "o", "", "kustomize, strategic or helm-values")
	if err := cmd.MarkFlagRequired("output"); err != nil {
		panic(err) // It was defined above.
	}
	completeOutput(cmd, outputKustomize, outputStrategic, outputHelmValues)
	o.flags.AddFlags(f)
	return cmd
}

func (o *patchOptions) run(ctx context.Context, streams genericiooptions.IOStreams, name string) error {
	if err := checkOutput(o.output, outputKustomize, outputStrategic, outputHelmValues); err != nil {
		return err
	}
	sc, err := o.serviceConnection(ctx, streams.In, name)
	if err != nil {
		return err
	}
	service, err := o.find(sc)
	if err != nil {
		return err
	}
	document, err := o.document(ctx, sc, service)
	if err != nil {
		return err
	}
	text, err := yaml.Marshal(document)
	if err != nil {
		return fmt.Errorf("cannot encode the patch: %w", err)
	}
	if err := printed(io.WriteString(streams.Out, o.comment(sc, service)+string(text))); err != nil {
		return err
	}
	if !service.Injection.Complete {
		return fmt.Errorf("the injection of service %q is not complete: %s: %w", service.Name, missing(service), errNotConnected)
	}
	return nil
}

// serviceConnection of the cluster, or of a file.
func (o *patchOptions) serviceConnection(ctx context.Context, stdin io.Reader, name string) (*unstructured.Unstructured, error) {
	if o.file == "" {
		c, err := cluster.Connect(o.flags)
		if err != nil {
			return nil, err
		}
		return c.ServiceConnection(ctx, name)
	}
	claims, err := readClaims(o.file, stdin)
	if err != nil {
		return nil, err
	}
	if len(claims) > 1 {
		return nil, fmt.Errorf("%s holds %d ServiceConnections; name a file with one", o.file, len(claims))
	}
	return &unstructured.Unstructured{Object: claims[0]}, nil
}

// find the service, with its injection.
func (o *patchOptions) find(sc *unstructured.Unstructured) (*claim.ServiceStatus, error) {
	what := nameOf(sc.Object)
	var status claim.Status
	if m, ok := sc.Object["status"].(map[string]any); ok {
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(m, &status); err != nil {
			return nil, fmt.Errorf("cannot read the status of %s: %w", what, err)
		}
	}
	if len(status.Services) == 0 {
		return nil, fmt.Errorf("%s has no status of services yet; wait until Crossplane has reconciled it: %w", what, errNotConnected)
	}
	var names []string
	for i, s := range status.Services {
		names = append(names, s.Name)
		if s.Name != o.service && (o.service != "" || len(status.Services) > 1) {
			continue
		}
		if s.Injection == nil {
			return nil, fmt.Errorf("service %q of %s has no injection yet: %s: %w", s.Name, what, missing(&s), errNotConnected)
		}
		return &status.Services[i], nil
	}
	if o.service == "" {
		return nil, fmt.Errorf("%s has several services; name one with --service: %s", what, strings.Join(names, ", "))
	}
	return nil, fmt.Errorf("%s has no service %q in its status; it has %s", what, o.service, strings.Join(names, ", "))
}

// missing connections of a service, and why.
func missing(s *claim.ServiceStatus) string {
	var reasons []string
	for _, c := range s.Connections {
		if !c.Ready {
			reasons = append(reasons, fmt.Sprintf("%s: %s: %s", c.ID(), c.Reason, c.Message))
		}
	}
	if len(reasons) == 0 {
		return "not all of its connections are in it yet"
	}
	return strings.Join(reasons, "; ")
}

// document that was asked for.
func (o *patchOptions) document(ctx context.Context, sc *unstructured.Unstructured, service *claim.ServiceStatus) (map[string]any, error) {
	if o.output == outputHelmValues {
		return patch.HelmValues(*service.Injection), nil
	}
	w, err := o.workload(ctx, sc.GetNamespace(), service)
	if err != nil {
		return nil, err
	}
	if err := conflicts(w, service); err != nil {
		return nil, err
	}
	if o.output == outputStrategic {
		return patch.Strategic(w, *service.Injection)
	}
	return patch.Kustomize(w, *service.Injection)
}

// workload of the service, from a file or from the cluster.
func (o *patchOptions) workload(ctx context.Context, namespace string, service *claim.ServiceStatus) (map[string]any, error) {
	want := service.Workload
	if want == nil {
		return nil, fmt.Errorf("the status names no workload of service %q", service.Name)
	}
	if o.workloads == "" {
		c, err := cluster.Connect(o.flags)
		if err != nil {
			return nil, err
		}
		return c.Workload(ctx, cmp.Or(namespace, c.Namespace), *want)
	}
	objects, err := readObjects([]string{o.workloads})
	if err != nil {
		return nil, err
	}
	for _, obj := range objects {
		u := unstructured.Unstructured{Object: obj}
		if u.GetAPIVersion() == want.APIVersion && u.GetKind() == want.Kind && u.GetName() == want.Name && (u.GetNamespace() == "" || u.GetNamespace() == namespace) {
			return obj, nil
		}
	}
	return nil, fmt.Errorf("%s holds no %s %q, which is the workload of service %q", o.workloads, want.Kind, want.Name, service.Name)
}

// conflicts that keep the workload from getting the injection.
func conflicts(w map[string]any, service *claim.ServiceStatus) error {
	kind, _ := workload.KindOf(service.Workload.APIVersion, service.Workload.Kind)
	template, ok := kind.Template(w)
	if !ok {
		return nil // Which the patch says.
	}
	var errs []error
	for _, c := range workload.Inspect(template, *service.Injection, claim.Service{Name: service.Name, Workload: service.Workload}) {
		errs = append(errs, fmt.Errorf("%s: %s: %w", c.Reason, c.Message, errNotConnected))
	}
	return errors.Join(errs...)
}

// comment above the document: what it is, and what is left to do.
func (o *patchOptions) comment(sc *unstructured.Unstructured, service *claim.ServiceStatus) string {
	injection := service.Injection
	b := &strings.Builder{}
	fmt.Fprintf(b, "# What the pods of service %s of ServiceConnection %s get, as of injection %s.\n", service.Name, sc.GetName(), injection.Hash)
	if o.output != outputHelmValues {
		return b.String()
	}
	b.WriteString("# Charts differ in the names of these values: compare with those of yours.\n")
	if len(injection.Containers) > 0 {
		fmt.Fprintf(b, "# extraEnv and extraVolumeMounts are for these containers only: %s.\n", strings.Join(injection.Containers, ", "))
	}
	if len(injection.InitContainers) > 0 {
		b.WriteString("# extraInitContainers must come before all other init containers.\n")
	}
	return b.String()
}
