package door

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
)

// Hosts of buckets (Amazon S3 user guide, "Virtual hosting of general purpose buckets")
// and of vaults (Azure Key Vault, "Vault name and object name").
var (
	s3Host    = regexp.MustCompile(`^[a-z0-9.-]+\.s3\.[a-z]{2}-[a-z]+-\d\.amazonaws\.com$`)
	vaultHost = regexp.MustCompile(`^[a-z0-9-]+\.vault\.azure\.net$`)
)

// An s3Error as its API has it (Amazon S3 API reference, "Error responses").
type s3Error struct {
	XMLName xml.Name `xml:"Error"`
	Code    string   `xml:"Code"`
	Message string   `xml:"Message"`
}

// serveS3 as S3 answers GetObject, by who may read the bucket.
func (d *Doors) serveS3(w http.ResponseWriter, r *http.Request) {
	key := strings.TrimPrefix(r.URL.Path, "/")
	fail := func(status int, code, format string, a ...any) {
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(status)
		_ = xml.NewEncoder(w).Encode(s3Error{Code: code, Message: fmt.Sprintf(format, a...)}) // Whoever has called may be gone.
	}
	s, ok := d.sessionOf(r)
	switch {
	case !ok:
		fail(http.StatusBadRequest, "InvalidToken", "The provided token is malformed or otherwise invalid.")
		return
	case d.now().After(s.expires):
		fail(http.StatusBadRequest, "ExpiredToken", "The provided token has expired.")
		return
	case r.Method != http.MethodGet:
		fail(http.StatusMethodNotAllowed, "MethodNotAllowed", "The specified method is not allowed against this resource.")
		return
	}
	content, may, exists := d.cloud.Read(r.Host, s.roleARN, key)
	switch {
	case !may:
		fail(http.StatusForbidden, "AccessDenied", "User: %s is not authorized to perform: s3:GetObject on resource: %q", s.arn, r.Host+"/"+key)
	case !exists:
		fail(http.StatusNotFound, "NoSuchKey", "The specified key does not exist.")
	default:
		w.Header().Set("Content-Type", "binary/octet-stream")
		_, _ = io.WriteString(w, content) //nolint:gosec // No browser reads it. Whoever has called may be gone.
	}
}

// serveVault as Key Vault answers Get Secret, by who may read the vault. A client without
// a token is told where to get one (Azure Key Vault, "Authentication, requests, and
// responses").
func (d *Doors) serveVault(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	fail := func(status int, code, message string) {
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(map[string]any{"error": map[string]string{"code": code, "message": message}}) //nolint:errchkjson // Whoever has called may be gone.
	}
	access, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	d.mu.Lock()
	clientID, ok := d.entra[access]
	d.mu.Unlock()
	if !ok {
		w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer authorization="https://%s/%s", resource="https://vault.azure.net"`, entraHost, d.cloud.TenantOf(r.Host)))
		fail(http.StatusUnauthorized, "Unauthorized", "AKV10000: Request is missing a Bearer or PoP token.")
		return
	}
	name := strings.Trim(strings.TrimPrefix(r.URL.Path, "/secrets/"), "/")
	content, may, exists := d.cloud.Read(r.Host, clientID, name)
	switch {
	case !may:
		fail(http.StatusForbidden, "Forbidden", "Caller is not authorized to perform action on resource. Caller: appid="+clientID)
	case !exists:
		fail(http.StatusNotFound, "SecretNotFound", "A secret with (name/id) "+name+" was not found in this key vault.")
	default:
		_ = json.NewEncoder(w).Encode(map[string]string{"value": content, "id": "https://" + r.Host + "/secrets/" + name + "/1"}) //nolint:errchkjson // As above.
	}
}
