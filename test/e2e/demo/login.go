package main

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/serviceconnections/function-service-connections/test/e2e/cloud"
	"github.com/serviceconnections/function-service-connections/test/e2e/controlplane"
	"github.com/serviceconnections/function-service-connections/test/e2e/door"
	"github.com/serviceconnections/function-service-connections/test/e2e/node"
	"github.com/serviceconnections/function-service-connections/test/e2e/postgres"
	"github.com/serviceconnections/function-service-connections/test/e2e/webhook"
)

// What the examples and the demo's settings name.
const (
	tenant   = "bbbbbbbb-1111-2222-3333-444444444444"
	role     = "arn:aws:iam::" + cloud.AccountID + ":role/apps/my-app-s3-access"
	identity = "/subscriptions/aaaaaaaa-1111-2222-3333-444444444444/resourceGroups/shop-prod/providers/Microsoft.ManagedIdentity/userAssignedIdentities/shop-api"
	project  = "my-project-123456"
	email    = "my-service-account@" + project + ".iam.gserviceaccount.com"
	instance = project + ":europe-west1:orders"
)

// What the application reads.
const (
	bucket = "shop-orders"
	vault  = "shop-prod.vault.azure.net"
)

// fill the cloud with what the examples ask for, and what their application reads.
func fill(c *cloud.Cloud) {
	c.AddRole("/apps/", "my-app-s3-access")
	c.AddBucket(bucket+".s3.eu-west-1.amazonaws.com", role, map[string]string{"greeting": "Hello from the bucket."})
	c.AddIdentity(identity, tenant)
	c.AddVault(vault, tenant, c.ClientIDOf(identity), map[string]string{"greeting": "Hello from the vault."})
	c.AddGoogleAccount(email)
	c.GrantProject(email, "roles/cloudsql.client")
}

// login to three clouds from the pod of a team, as an application that has no key to any.
func (d *demo) login(ctx context.Context, c *cloud.Cloud, namespace string) error {
	d.headingf("An application in a pod of %s reads its bucket, its vault and its database, without a key", namespace)
	if runtime.GOOS != "linux" {
		d.linef("(only on Linux: elsewhere its clients can't be led to the fake clouds)")
		return nil
	}
	doors, err := d.openDoors(ctx, c)
	if err != nil {
		return err
	}
	defer doors.Close()
	pod, err := d.podForLogin(ctx, namespace)
	if err != nil {
		return err
	}
	main := &pod.Spec.Containers[0]
	main.Args = []string{"-bucket=" + bucket, "-vault=https://" + vault}
	if missing := lacksForDatabase(ctx, pod); missing != "" {
		d.linef("(without the database: %s)", missing)
		main.Args = append(main.Args, "-database=false")
		pod.Spec.InitContainers = nil
	} else {
		db, err := postgres.Start(ctx)
		if err != nil {
			return err
		}
		defer db.Stop()
		if err := doors.OpenInstance(ctx, instance, db.Socket); err != nil {
			return err
		}
	}
	n, err := d.nodeOf(ctx, doors, pod)
	if err != nil {
		return err
	}
	results, err := n.Run(ctx, pod)
	if err != nil {
		return err
	}
	if r := results[main.Name]; r.Code != 0 {
		return fmt.Errorf("the application ends with %d: %s", r.Code, r.Errors)
	}
	if err := d.printKubectl(ctx, "-n", namespace, "get", "secrets"); err != nil {
		return err
	}
	d.linef("$ application %s", strings.Join(main.Args, " "))
	d.linef("%s", strings.ReplaceAll(strings.TrimSpace(results[main.Name].Output), "\n", "\n  "))
	return nil
}

// openDoors of the cloud to the pods of the demo's cluster.
func (d *demo) openDoors(ctx context.Context, c *cloud.Cloud) (*door.Doors, error) {
	h, err := rest.HTTPClientFor(d.Config)
	if err != nil {
		return nil, fmt.Errorf("cannot make client: %w", err)
	}
	return door.Open(ctx, c, door.Cluster{
		Name: "prod-eu", Region: "eu-west-1", Issuer: controlplane.Issuer, KeysURL: d.Config.Host + "/openid/v1/jwks", Client: h,
	}, d.Dir)
}

// lacksForDatabase says what the machine lacks for a pod's database, if anything.
func lacksForDatabase(ctx context.Context, pod *corev1.Pod) string {
	if !postgres.Installed() {
		return "this machine has no PostgreSQL"
	}
	for _, e := range pod.Spec.Containers[0].Env {
		if e.Name != "DB_PORT" {
			continue
		}
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:"+e.Value)
		if err != nil {
			return "the proxy's port is taken: " + err.Error()
		}
		_ = l.Close() // It was only tried.
	}
	return ""
}

// nodeOf a pod: it has the programs of the pod's images, and GKE's metadata server.
func (d *demo) nodeOf(ctx context.Context, doors *door.Doors, pod *corev1.Pod) (*node.Node, error) {
	bin := filepath.Join(d.root, ".cache", "bin")
	n := &node.Node{Client: d.Client, Dir: filepath.Join(d.Dir, "node"), Programs: map[string]string{
		pod.Spec.Containers[0].Image: filepath.Join(bin, "clients", "application"),
	}}
	for i := range pod.Spec.InitContainers {
		// It has one: the proxy.
		n.Programs[pod.Spec.InitContainers[i].Image] = filepath.Join(bin, "cloud-sql-proxy")
	}
	if !node.MayMount(ctx) {
		d.linef("(without the disk: this machine lets its user mount nothing)")
		pod.Spec.Volumes = slices.DeleteFunc(pod.Spec.Volumes, func(v corev1.Volume) bool { return v.PersistentVolumeClaim != nil })
	}
	address, err := doors.ServeMetadata(ctx, door.Workload{
		Project: project,
		Account: func(ctx context.Context) (string, error) { return d.googleAccount(ctx, pod) },
		Token:   func(ctx context.Context, audience string) (string, error) { return n.Token(ctx, pod, audience) },
	})
	if err != nil {
		return nil, err
	}
	n.Network = append(doors.Network(), "GCE_METADATA_HOST="+address, "PGUSER=shop")
	return n, nil
}

// podForLogin that a team's Deployment makes once AKS's webhook is there, which gives it
// Azure's variables. Its claim was Ready before.
func (d *demo) podForLogin(ctx context.Context, namespace string) (*corev1.Pod, error) {
	aks := webhook.Azure(tenant)
	stop, err := webhook.Serve(ctx, d.Client, aks)
	if err != nil {
		return nil, err
	}
	defer stop()
	if _, err := d.kubectl(ctx, "label", "namespace", namespace, webhook.Label+"="+aks.Name); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, readyTimeout, fmt.Errorf("not after %s", readyTimeout))
	defer cancel()
	var found *corev1.Pod
	err = controlplane.Poll(ctx, func(ctx context.Context) error {
		pods := &corev1.PodList{}
		if err := d.Client.List(ctx, pods, client.InNamespace(namespace), client.MatchingLabels{"app": "api"}); err != nil {
			return fmt.Errorf("cannot list pods: %w", err)
		}
		for i := range pods.Items {
			found = &pods.Items[i]
			if slices.ContainsFunc(found.Spec.Containers[0].Env, func(e corev1.EnvVar) bool { return e.Name == "AZURE_CLIENT_ID" }) {
				return nil
			}
			// The Deployment makes another one. The API server hears of the webhook in
			// its own time.
			if err := client.IgnoreNotFound(d.Client.Delete(ctx, found, client.GracePeriodSeconds(0))); err != nil {
				return fmt.Errorf("cannot delete pod: %w", err)
			}
		}
		return fmt.Errorf("no pod of namespace %s has AZURE_CLIENT_ID", namespace)
	})
	return found, err
}

// googleAccount that a pod's ServiceAccount says that it acts as.
func (d *demo) googleAccount(ctx context.Context, pod *corev1.Pod) (string, error) {
	sa := &corev1.ServiceAccount{}
	if err := d.Client.Get(ctx, client.ObjectKey{Namespace: pod.Namespace, Name: pod.Spec.ServiceAccountName}, sa); err != nil {
		return "", fmt.Errorf("cannot read ServiceAccount: %w", err)
	}
	return sa.Annotations["iam.gke.io/gcp-service-account"], nil
}
