package controlplane

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"net"
	"strings"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/client-go/util/cert"
)

// A user of the API server. Those of service accounts have the groups that the
// API server gives to them.
type user struct {
	name   string
	groups []string
}

// Namespace that Crossplane runs in.
const Namespace = "crossplane-system"

var (
	admin = user{name: "admin", groups: []string{"system:masters"}}

	// Crossplane and its RBAC manager run as they do in a pod, with the rights
	// that the Helm chart gives to them.
	crossplane  = serviceAccount(Namespace, "crossplane")
	rbacManager = serviceAccount(Namespace, "rbac-manager")

	// The webhook has what its manifests give to it.
	webhook = serviceAccount(webhookNamespace, "service-connections-webhook")

	// So does the exporter.
	exporter = serviceAccount(exporterNamespace, "service-connections-exporter")
)

// provider's user, of the ServiceAccount that package/providers has it run as. It has the
// rights that the RBAC manager gives to its revision, and no more.
func provider(name string) user { return serviceAccount(Namespace, name) }

func serviceAccount(namespace, name string) user {
	return user{
		name:   "system:serviceaccount:" + namespace + ":" + name,
		groups: []string{"system:serviceaccounts", "system:serviceaccounts:" + namespace, "system:authenticated"},
	}
}

// credentials that are made anew for each control plane.
type credentials struct {
	// serviceAccountKey signs the tokens of service accounts, in PEM.
	serviceAccountKey []byte

	// certificate and key of the API server, in PEM.
	certificate, key []byte

	// tokens by user name.
	tokens map[string]string
}

func newCredentials(users ...user) (credentials, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return credentials{}, fmt.Errorf("cannot generate key for service accounts: %w", err)
	}
	c := credentials{
		serviceAccountKey: pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}),
		tokens:            map[string]string{},
	}
	c.certificate, c.key, err = cert.GenerateSelfSignedCertKey("localhost", []net.IP{net.IPv4(127, 0, 0, 1)}, nil)
	if err != nil {
		return credentials{}, fmt.Errorf("cannot generate certificate for the API server: %w", err)
	}
	for _, u := range users {
		b := make([]byte, 16)
		if _, err := rand.Read(b); err != nil {
			return credentials{}, fmt.Errorf("cannot generate token: %w", err)
		}
		c.tokens[u.name] = hex.EncodeToString(b)
	}
	return c, nil
}

// tokenFile as kube-apiserver's --token-auth-file takes it.
func (c credentials) tokenFile(users ...user) []byte {
	var b strings.Builder
	for _, u := range users {
		fmt.Fprintf(&b, "%s,%s,%s,%q\n", c.tokens[u.name], u.name, u.name, strings.Join(u.groups, ","))
	}
	return []byte(b.String())
}

// config of a client that is a user.
func (c *ControlPlane) config(u user) *rest.Config {
	return &rest.Config{
		Host:            fmt.Sprintf("https://127.0.0.1:%d", c.ports.apiServer),
		BearerToken:     c.credentials.tokens[u.name],
		TLSClientConfig: rest.TLSClientConfig{CAData: c.credentials.certificate},
		// The API server's own limits are enough.
		QPS: -1,
	}
}

// writeKubeconfig of a user, and return its path.
func (c *ControlPlane) writeKubeconfig(u user) (string, error) {
	const name = "service-connections"
	path := c.path(strings.ReplaceAll(u.name, ":", "-") + ".kubeconfig")
	cfg := c.config(u)
	k := clientcmdapi.NewConfig()
	k.Clusters[name] = &clientcmdapi.Cluster{Server: cfg.Host, CertificateAuthorityData: cfg.CAData}
	k.AuthInfos[name] = &clientcmdapi.AuthInfo{Token: cfg.BearerToken}
	k.Contexts[name] = &clientcmdapi.Context{Cluster: name, AuthInfo: name}
	k.CurrentContext = name
	if err := clientcmd.WriteToFile(*k, path); err != nil {
		return "", fmt.Errorf("cannot write kubeconfig of %s: %w", u.name, err)
	}
	return path, nil
}
