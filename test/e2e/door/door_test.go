package door

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"

	"github.com/serviceconnections/function-service-connections/test/e2e/cloud"
	"github.com/serviceconnections/function-service-connections/test/e2e/controlplane"
	"github.com/serviceconnections/function-service-connections/test/e2e/postgres"
	"github.com/serviceconnections/function-service-connections/test/modules"
	"github.com/serviceconnections/function-service-connections/test/process"
)

const (
	issuer   = "https://oidc.example.org/one"
	role     = "arn:aws:iam::" + cloud.AccountID + ":role/my-app"
	target   = "arn:aws:iam::210987654321:role/my-target"
	tenant   = "00000000-0000-0000-0000-000000000001"
	identity = "/subscriptions/s/resourceGroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/shop"
	project  = "my-project"
	email    = "shop@my-project.iam.gserviceaccount.com"

	audienceAzure = "api://AzureADTokenExchange"
)

// Keys of the cluster, and of another one.
var ourKey, otherKey = sync.OnceValue(newKey), sync.OnceValue(newKey)

func newKey() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
}

// built clients, in the folder of the repository's binaries.
var built = sync.OnceValues(func() (string, error) {
	root, err := modules.Root()
	if err != nil {
		return "", err
	}
	return filepath.Join(root, ".cache", "bin"), process.Build(context.Background(), root, "clients")
})

// A world with open doors, in which everything is granted to the ServiceAccount api of
// the namespace team-a.
type world struct {
	*cloud.Cloud
	*Doors

	t   *testing.T
	bin string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("clients find the authority of the tests by SSL_CERT_FILE, which Go reads on Linux only")
	}
	bin, err := built()
	if err != nil {
		t.Fatal(err)
	}
	c := cloud.New()
	c.AddRole("/", "my-app")
	c.AddAssociation("one", "team-a", "api", role)
	c.AddOIDCProvider(issuer, "sts.amazonaws.com")
	c.AddIdentity(identity, tenant)
	c.AddCredential(identity, "api", issuer, subject("team-a", "api"))
	c.AddGoogleAccount(email)
	c.AddMember(email, "roles/iam.workloadIdentityUser", "serviceAccount:"+project+".svc.id.goog[team-a/api]")
	c.GrantProject(email, "roles/cloudsql.client")
	d, err := Open(t.Context(), c, Cluster{Name: "one", Region: "eu-west-1", Issuer: issuer, Client: http.DefaultClient}, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	d.issuers[issuer] = &oidc.StaticKeySet{PublicKeys: []crypto.PublicKey{&ourKey().PublicKey}}
	return &world{Cloud: c, Doors: d, t: t, bin: bin}
}

// claims of a pod's token for an audience.
func claims(namespace, serviceAccount, audience string) token {
	c := token{
		Issuer: issuer, Subject: subject(namespace, serviceAccount), Audience: []string{audience},
		Expires: time.Now().Add(time.Hour).Unix(), NotBefore: time.Now().Add(-time.Minute).Unix(),
	}
	c.Kubernetes.Namespace, c.Kubernetes.ServiceAccount.Name = namespace, serviceAccount
	c.Kubernetes.Pod.Name, c.Kubernetes.Pod.UID = "api-1", "5f1c6d0e-0000-4000-8000-000000000001"
	return c
}

func (w *world) sign(key *rsa.PrivateKey, c token) string {
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: key}, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	payload, err := json.Marshal(c)
	if err != nil {
		w.t.Fatal(err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		w.t.Fatal(err)
	}
	raw, err := signed.CompactSerialize()
	if err != nil {
		w.t.Fatal(err)
	}
	return raw
}

// environment of a pod with one of the clients, and its token.
func (w *world) environment(client, token string) []string {
	file := filepath.Join(w.t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(token), 0o600); err != nil {
		w.t.Fatal(err)
	}
	switch client {
	case "aws":
		return []string{"AWS_REGION=eu-west-1", "AWS_CONTAINER_CREDENTIALS_FULL_URI=http://169.254.170.23/v1/credentials", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE=" + file}
	case "irsa":
		return []string{"AWS_REGION=eu-west-1", "AWS_STS_REGIONAL_ENDPOINTS=regional", "AWS_ROLE_ARN=" + role, "AWS_WEB_IDENTITY_TOKEN_FILE=" + file}
	case "azure":
		return []string{"AZURE_CLIENT_ID=" + w.ClientIDOf(identity), "AZURE_TENANT_ID=" + tenant, "AZURE_AUTHORITY_HOST=https://login.microsoftonline.com/", "AZURE_FEDERATED_TOKEN_FILE=" + file}
	case "google":
		return []string{"GCE_METADATA_HOST=" + w.metadata(token)}
	default:
		w.t.Fatalf("there is no client %s", client)
		return nil
	}
}

// metadata server of a node whose pods have a token.
func (w *world) metadata(token string) string {
	address, err := w.ServeMetadata(w.t.Context(), Workload{
		Project: project,
		Account: func(context.Context) (string, error) { return email, nil },
		Token:   func(context.Context, string) (string, error) { return token, nil },
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return address
}

// run a client, and return the identity that it has got, or its error.
func (w *world) run(client string, env ...string) string {
	w.t.Helper()
	if client == "irsa" {
		client = "aws"
	}
	out, err := w.output(client, env)
	if err != nil {
		return err.Error()
	}
	var o struct{ Identity string }
	if err := json.Unmarshal([]byte(out), &o); err != nil {
		w.t.Fatalf("%v: %s", err, out)
	}
	return o.Identity
}

// output of a client, or what it writes of its error.
func (w *world) output(client string, env []string, args ...string) (string, error) {
	w.t.Helper()
	cmd := exec.CommandContext(w.t.Context(), filepath.Join(w.bin, "clients", client), args...)
	cmd.Env = append(append([]string{"HOME=" + w.t.TempDir()}, w.Network()...), env...)
	stdout, stderr := &bytes.Buffer{}, &bytes.Buffer{}
	cmd.Stdout, cmd.Stderr = stdout, stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%w: %s", err, stderr)
	}
	return stdout.String(), nil
}

// TestLogin lets the clouds' own libraries in, and says to them why it doesn't. Each case
// differs in one thing from a pod that gets in.
func TestLogin(t *testing.T) {
	t.Parallel()
	const (
		statement  = `{"Statement":[{"Effect":"Allow",%s}]}`
		irsa       = `"Principal":{"Federated":"arn:aws:iam::123456789012:oidc-provider/oidc.example.org/one"},"Action":"sts:AssumeRoleWithWebIdentity","Condition":{"StringEquals":{"oidc.example.org/one:aud":"sts.amazonaws.com","oidc.example.org/one:sub":"%s"}}`
		noGrant    = "Permission 'iam.serviceAccounts.getAccessToken' denied"
		notAllowed = "EKS does not have permissions to assume the associated role"
	)
	trust := func(s string) func(*world) { return func(w *world) { w.SetTrust("my-app", fmt.Sprintf(statement, s)) } }
	trusted := trust(fmt.Sprintf(irsa, subject("team-a", "api")))
	late := func(w *world) { w.SetAhead(2 * time.Hour) }
	for name, tc := range map[string]struct {
		client  string
		token   token
		key     func() *rsa.PrivateKey
		prepare func(*world)

		// want is a pattern of what the client says.
		want string
	}{
		"AWS":                    {client: "aws", token: claims("team-a", "api", audiencePods), want: `^arn:aws:sts::123456789012:assumed-role/my-app/eks-one-api-1-`},
		"AWSOtherServiceAccount": {client: "aws", token: claims("team-a", "other", audiencePods), want: "ResourceNotFoundException"},
		"AWSOtherNamespace":      {client: "aws", token: claims("team-b", "api", audiencePods), want: "ResourceNotFoundException"},
		"AWSOtherAudience":       {client: "aws", token: claims("team-a", "api", "sts.amazonaws.com"), want: "InvalidTokenException"},
		"AWSOtherCluster":        {client: "aws", token: claims("team-a", "api", audiencePods), key: otherKey, want: "InvalidTokenException.*cannot verify the signature"},
		"AWSExpired":             {client: "aws", token: claims("team-a", "api", audiencePods), prepare: late, want: "token is expired"},
		"AWSRevoked":             {client: "aws", token: claims("team-a", "api", audiencePods), prepare: func(w *world) { w.RemoveAssociations("team-a") }, want: "ResourceNotFoundException"},
		"AWSNoRole":              {client: "aws", token: claims("team-a", "api", audiencePods), prepare: func(w *world) { w.RemoveRole("my-app") }, want: notAllowed},
		"AWSNoTagSession":        {client: "aws", token: claims("team-a", "api", audiencePods), prepare: trust(`"Principal":{"Service":"pods.eks.amazonaws.com"},"Action":"sts:AssumeRole"`), want: notAllowed},
		"AWSOtherTag":            {client: "aws", token: claims("team-a", "api", audiencePods), prepare: trust(`"Principal":{"Service":"pods.eks.amazonaws.com"},"Action":"sts:*","Condition":{"StringEquals":{"aws:RequestTag/kubernetes-namespace":"team-b"}}`), want: notAllowed},
		"AWSTag":                 {client: "aws", token: claims("team-a", "api", audiencePods), prepare: trust(`"Principal":{"Service":"pods.eks.amazonaws.com"},"Action":"sts:*","Condition":{"StringEquals":{"aws:RequestTag/kubernetes-namespace":"team-a"}}`), want: `^arn:aws:sts::123456789012:assumed-role/my-app/`},
		"AWSTarget":              {client: "aws", token: claims("team-c", "api", audiencePods), prepare: func(w *world) { w.associateTarget(role) }, want: `^arn:aws:sts::210987654321:assumed-role/my-target/`},
		"AWSTargetOfOther":       {client: "aws", token: claims("team-c", "api", audiencePods), prepare: func(w *world) { w.associateTarget(role + "-2") }, want: "does not have permissions to assume the target role"},

		"IRSA":              {client: "irsa", token: claims("team-a", "api", "sts.amazonaws.com"), prepare: trusted, want: `^arn:aws:sts::123456789012:assumed-role/my-app/`},
		"IRSAOtherSubject":  {client: "irsa", token: claims("team-b", "api", "sts.amazonaws.com"), prepare: trusted, want: "Not authorized to perform sts:AssumeRoleWithWebIdentity"},
		"IRSAOtherAudience": {client: "irsa", token: claims("team-a", "api", audiencePods), prepare: trusted, want: "Incorrect token audience"},
		"IRSAOtherCluster":  {client: "irsa", token: claims("team-a", "api", "sts.amazonaws.com"), prepare: trusted, key: otherKey, want: "InvalidIdentityToken"},
		"IRSAExpired":       {client: "irsa", token: claims("team-a", "api", "sts.amazonaws.com"), prepare: func(w *world) { trusted(w); late(w) }, want: "ExpiredToken"},
		"IRSANotTrusted":    {client: "irsa", token: claims("team-a", "api", "sts.amazonaws.com"), want: "Not authorized to perform sts:AssumeRoleWithWebIdentity"},

		"Azure":                    {client: "azure", token: claims("team-a", "api", audienceAzure), want: "^c0000000-0000-0000-0000-0000000000"},
		"AzureOtherServiceAccount": {client: "azure", token: claims("team-a", "other", audienceAzure), want: "AADSTS700213"},
		"AzureOtherAudience":       {client: "azure", token: claims("team-a", "api", "api://other"), want: "AADSTS700212"},
		"AzureOtherCluster":        {client: "azure", token: claims("team-a", "api", audienceAzure), key: otherKey, want: "AADSTS50027"},
		"AzureExpired":             {client: "azure", token: claims("team-a", "api", audienceAzure), prepare: late, want: "AADSTS700024"},

		"Google":                    {client: "google", token: claims("team-a", "api", project+".svc.id.goog"), want: "^" + email + "$"},
		"GoogleOtherServiceAccount": {client: "google", token: claims("team-a", "other", project+".svc.id.goog"), want: noGrant},
		"GoogleOtherNamespace":      {client: "google", token: claims("team-b", "api", project+".svc.id.goog"), want: noGrant},
		"GoogleOtherPool":           {client: "google", token: claims("team-a", "api", "other.svc.id.goog"), want: "invalid_grant: the audience"},
		"GoogleOtherCluster":        {client: "google", token: claims("team-a", "api", project+".svc.id.goog"), key: otherKey, want: "invalid_grant: cannot verify"},
		"GoogleExpired":             {client: "google", token: claims("team-a", "api", project+".svc.id.goog"), prepare: late, want: "invalid_grant: ID Token has expired"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			if tc.prepare != nil {
				tc.prepare(w)
			}
			key := ourKey
			if tc.key != nil {
				key = tc.key
			}
			if got := w.run(tc.client, w.environment(tc.client, w.sign(key(), tc.token))...); !regexp.MustCompile(tc.want).MatchString(got) {
				t.Errorf("the client says %s, want %s", got, tc.want)
			}
		})
	}
}

// TestApplication reads a bucket and a vault with two clouds' tokens at once, and only
// those that its identities may read.
func TestApplication(t *testing.T) {
	t.Parallel()
	const bucket, vault = "orders.s3.eu-west-1.amazonaws.com", "shop.vault.azure.net"
	greeting := map[string]string{"greeting": "hello"}
	for name, tc := range map[string]struct {
		prepare func(*world)
		want    string
	}{
		"Both":        {want: "^bucket    orders/greeting says: hello\nvault     https://shop.vault.azure.net/secrets/greeting says: hello\n$"},
		"OtherBucket": {prepare: func(w *world) { w.AddBucket(bucket, target, greeting) }, want: "AccessDenied.*is not authorized to perform: s3:GetObject"},
		"NoObject":    {prepare: func(w *world) { w.AddBucket(bucket, role, nil) }, want: "NoSuchKey"},
		"OtherVault":  {prepare: func(w *world) { w.AddVault(vault, tenant, "someone", greeting) }, want: "(?s)403 Forbidden.*Caller is not authorized"},
		"NoSecret":    {prepare: func(w *world) { w.AddVault(vault, tenant, w.ClientIDOf(identity), nil) }, want: "SecretNotFound"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.AddBucket(bucket, role, greeting)
			w.AddVault(vault, tenant, w.ClientIDOf(identity), greeting)
			if tc.prepare != nil {
				tc.prepare(w)
			}
			env := append(w.environment("aws", w.sign(ourKey(), claims("team-a", "api", audiencePods))),
				w.environment("azure", w.sign(ourKey(), claims("team-a", "api", audienceAzure)))...)
			got, err := w.output("application", env, "-bucket=orders", "-vault=https://"+vault)
			if err != nil {
				got = err.Error()
			}
			if !regexp.MustCompile(tc.want).MatchString(got) {
				t.Errorf("the application says %s, want %s", got, tc.want)
			}
		})
	}
}

// associateTarget role in another account, which trusts a role, with team-c/api.
func (w *world) associateTarget(trusts string) {
	w.AddTargetAssociation("one", "team-c", "api", role, target)
	w.AddForeignRole(target, `{"Statement":{"Effect":"Allow","Principal":{"AWS":"`+trusts+`"},"Action":["sts:AssumeRole","sts:TagSession"]}}`)
}

// TestCloudSQL goes by the real Cloud SQL Auth Proxy to a real PostgreSQL.
func TestCloudSQL(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		instance string
		prepare  func(*world)
		want     string

		// says is what the proxy's log tells of it.
		says string
	}{
		"Client":      {instance: project + ":europe-west1:orders", want: "^shop in postgres$", says: "Accepted connection"},
		"WithoutRole": {instance: project + ":europe-west1:orders", prepare: func(w *world) { w.RevokeProject(email) }, want: "exit status 1", says: "boss::NOT_AUTHORIZED"},
		"OtherRegion": {instance: project + ":europe-west4:orders", want: "exit status 1", says: "provided region was mismatched"},
		"NoSuchThing": {instance: project + ":europe-west1:order", want: "exit status 1", says: "The Cloud SQL instance does not exist"},
		"NotImpersonated": {
			instance: project + ":europe-west1:orders", want: "exit status 1", says: "iam.serviceAccounts.getAccessToken",
			prepare: func(w *world) { w.RemoveMembers("team-a") },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			if !postgres.Installed() {
				t.Skip("this machine has no PostgreSQL")
			}
			db, err := postgres.Start(t.Context(), "orders")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(db.Stop)
			if err := w.OpenInstance(t.Context(), project+":europe-west1:orders", db.Socket); err != nil {
				t.Fatal(err)
			}
			if tc.prepare != nil {
				tc.prepare(w)
			}
			log, port := w.runProxy(tc.instance)
			got := w.run("postgres", "PGUSER=shop", "DB_HOST=127.0.0.1", "DB_PORT="+port)
			if said := log(); !regexp.MustCompile(tc.want).MatchString(got) || !strings.Contains(said, tc.says) {
				t.Errorf("the client says %s, want %s; the proxy says %s, want %s", got, tc.want, said, tc.says)
			}
		})
	}
}

// runProxy for an instance, as the injected sidecar does but for its ports, and wait for
// its startup probe. log ends it, and returns what it has written.
func (w *world) runProxy(instance string) (log func() string, port string) {
	w.t.Helper()
	var addresses [2]string
	for i := range addresses {
		var err error
		if addresses[i], err = controlplane.FreeAddress(w.t.Context()); err != nil {
			w.t.Fatal(err)
		}
	}
	_, port, _ = strings.Cut(addresses[0], ":")
	_, probe, _ := strings.Cut(addresses[1], ":")
	out := &bytes.Buffer{}
	cmd := exec.CommandContext(w.t.Context(), filepath.Join(w.bin, "cloud-sql-proxy"),
		instance+"?port="+port, "--structured-logs", "--exit-zero-on-sigterm", "--health-check", "--http-address=127.0.0.1", "--http-port="+probe)
	cmd.Env = append([]string{"HOME=" + w.t.TempDir(), "GCE_METADATA_HOST=" + w.metadata(w.sign(ourKey(), claims("team-a", "api", project+".svc.id.goog")))}, w.Network()...)
	cmd.Stdout, cmd.Stderr = out, out
	ended, err := process.Attach(cmd)
	if err != nil {
		w.t.Fatal(err)
	}
	end := sync.OnceValue(func() string {
		_ = cmd.Process.Signal(syscall.SIGTERM) // It may have ended by itself.
		<-ended                                 //nolint:errcheck // The log says it.
		return out.String()
	})
	w.t.Cleanup(func() { end() })
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
	defer cancel()
	if err := controlplane.Poll(ctx, func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addresses[1]+"/startup", http.NoBody)
		if err != nil {
			return err
		}
		rsp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		if _ = rsp.Body.Close(); rsp.StatusCode != http.StatusOK {
			return fmt.Errorf("its startup probe answers %s", rsp.Status)
		}
		return nil
	}); err != nil {
		w.t.Fatalf("the proxy doesn't start: %v: %s", err, end())
	}
	return end, port
}
