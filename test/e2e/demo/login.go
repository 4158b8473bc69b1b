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
)

// What the applications read.
const (
	bucket = "shop-orders"
	vault  = "shop-prod.vault.azure.net"
)

// instances of Cloud SQL, by their names in the project.
var instances = []string{"orders", "customers"}

// An application in a pod of a team's service api.
type application struct {
	// namespace of the team, named as its example, and what the application reads there.
	namespace, reads string

	// has is a variable that pods have which are made once all is there.
	has string

	// args of what it reads of clouds.
	args []string

	// databases by the variables of their host, port and instance.
	databases [][3]string

	// folders of disks, by variables that the application has for them.
	folders []corev1.EnvVar
}

var applications = []application{{
	namespace: "all-together", reads: "its bucket, its vault and its database",
	has:       "AZURE_CLIENT_ID",
	args:      []string{"-bucket=" + bucket, "-vault=https://" + vault},
	databases: [][3]string{{"DB_HOST", "DB_PORT", "DB_INSTANCE_CONNECTION_NAME"}},
}, {
	namespace: "several", reads: "its two databases, and writes to its three disks",
	has: "PGHOST",
	databases: [][3]string{
		{"DB_HOST", "DB_PORT", "DB_INSTANCE_CONNECTION_NAME"},
		{"PGHOST", "PGPORT", "CUSTOMERS_DB_INSTANCE_CONNECTION_NAME"},
	},
	folders: []corev1.EnvVar{
		{Name: "CACHE", Value: "/data/cache-storage"},
		{Name: "PICTURES", Value: "/data/pictures"},
		{Name: "INVOICES", Value: "/data/invoices"},
	},
}}

// fill the cloud with what the examples ask for, and what their application reads.
func fill(c *cloud.Cloud) {
	c.AddRole("/apps/", "my-app-s3-access")
	c.AddBucket(bucket+".s3.eu-west-1.amazonaws.com", role, map[string]string{"greeting": "Hello from the bucket."})
	c.AddIdentity(identity, tenant)
	c.AddVault(vault, tenant, c.ClientIDOf(identity), map[string]string{"greeting": "Hello from the vault."})
	c.AddGoogleAccount(email)
	c.GrantProject(email, "roles/cloudsql.client")
}

// login from pods of teams, as applications do that have no key to anything.
func (d *demo) login(ctx context.Context, c *cloud.Cloud) error {
	if runtime.GOOS != "linux" {
		d.linef("(applications log in only on Linux: elsewhere their clients can't be led to the fake clouds)")
		return nil
	}
	doors, err := d.openDoors(ctx, c)
	if err != nil {
		return err
	}
	defer doors.Close()
	stop, err := openInstances(ctx, doors)
	defer stop()
	if err != nil {
		return err
	}
	for i := range applications {
		if err := d.run(ctx, doors, &applications[i]); err != nil {
			return err
		}
	}
	return nil
}

// openInstances of Cloud SQL, each with a database of its own, until stop; none where the
// machine has no PostgreSQL.
func openInstances(ctx context.Context, doors *door.Doors) (stop func(), err error) {
	var databases []*postgres.Server
	stop = func() {
		for _, db := range databases {
			db.Stop()
		}
	}
	if !postgres.Installed() {
		return stop, nil
	}
	for _, name := range instances {
		db, err := postgres.Start(ctx, name)
		if err != nil {
			return stop, err
		}
		databases = append(databases, db)
		if err := doors.OpenInstance(ctx, project+":europe-west1:"+name, db.Socket); err != nil {
			return stop, err
		}
	}
	return stop, nil
}

// run an application in a pod of its team, and print what it says.
func (d *demo) run(ctx context.Context, doors *door.Doors, a *application) error {
	d.headingf("An application in a pod of %s reads %s, without a key", a.namespace, a.reads)
	pod, err := d.podForLogin(ctx, a)
	if err != nil {
		return err
	}
	main := &pod.Spec.Containers[0]
	main.Args = slices.Clone(a.args)
	if missing := lacksForDatabases(ctx, main, a.databases); missing != "" {
		d.linef("(without a database: %s)", missing)
		pod.Spec.InitContainers = nil
	} else {
		for _, variables := range a.databases {
			main.Args = append(main.Args, "-database="+strings.Join(variables[:], ","))
		}
	}
	if !node.MayMount(ctx) {
		d.linef("(without a disk: this machine lets its user mount nothing)")
		pod.Spec.Volumes = slices.DeleteFunc(pod.Spec.Volumes, func(v corev1.Volume) bool { return v.PersistentVolumeClaim != nil })
	} else {
		main.Env = append(main.Env, a.folders...)
		for _, f := range a.folders {
			main.Args = append(main.Args, "-folder="+f.Name)
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
	if err := d.printKubectl(ctx, "-n", a.namespace, "get", "secrets"); err != nil {
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

// lacksForDatabases says what the machine lacks for the databases of a container, if
// anything.
func lacksForDatabases(ctx context.Context, of *corev1.Container, databases [][3]string) string {
	if !postgres.Installed() {
		return "this machine has no PostgreSQL"
	}
	for _, e := range of.Env {
		if !slices.ContainsFunc(databases, func(variables [3]string) bool { return variables[1] == e.Name }) {
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
func (d *demo) podForLogin(ctx context.Context, a *application) (*corev1.Pod, error) {
	aks := webhook.Azure(tenant)
	stop, err := webhook.Serve(ctx, d.Client, aks)
	if err != nil {
		return nil, err
	}
	defer stop()
	if _, err := d.kubectl(ctx, "label", "namespace", a.namespace, webhook.Label+"="+aks.Name); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, readyTimeout, fmt.Errorf("not after %s", readyTimeout))
	defer cancel()
	var found *corev1.Pod
	err = controlplane.Poll(ctx, func(ctx context.Context) error {
		pods := &corev1.PodList{}
		if err := d.Client.List(ctx, pods, client.InNamespace(a.namespace), client.MatchingLabels{"app": "api"}); err != nil {
			return fmt.Errorf("cannot list pods: %w", err)
		}
		for i := range pods.Items {
			found = &pods.Items[i]
			if slices.ContainsFunc(found.Spec.Containers[0].Env, func(e corev1.EnvVar) bool { return e.Name == a.has }) {
				return nil
			}
			// The Deployment makes another one. The API server hears of the webhook in
			// its own time.
			if err := client.IgnoreNotFound(d.Client.Delete(ctx, found, client.GracePeriodSeconds(0))); err != nil {
				return fmt.Errorf("cannot delete pod: %w", err)
			}
		}
		return fmt.Errorf("no pod of namespace %s has %s", a.namespace, a.has)
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
