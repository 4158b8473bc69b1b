// Command azure logs in to Azure as an application does, by DefaultAzureCredential, and
// gets a token for Key Vault.
package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"github.com/serviceconnections/function-service-connections/test/clients/attempt"
)

func main() {
	flag.Parse()
	var credential *azidentity.DefaultAzureCredential
	os.Exit(attempt.Run(func(ctx context.Context) (string, error) {
		if credential == nil {
			// One for the life of the process, as applications have it.
			c, err := azidentity.NewDefaultAzureCredential(nil)
			if err != nil {
				return "", err //nolint:wrapcheck // The SDK's own words are what a user reads.
			}
			credential = c
		}
		token, err := credential.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{"https://vault.azure.net/.default"}})
		if err != nil {
			return "", err //nolint:wrapcheck // The SDK's own words are what a user reads.
		}
		return appID(token.Token)
	}))
}

// appID is the client that an access token of Microsoft Entra is for.
func appID(token string) (string, error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return "", fmt.Errorf("cannot read access token: it has %d parts", len(parts))
	}
	b, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return "", fmt.Errorf("cannot read access token: %w", err)
	}
	var claims struct {
		AppID string `json:"appid"`
	}
	if err := json.Unmarshal(b, &claims); err != nil {
		return "", fmt.Errorf("cannot read access token: %w", err)
	}
	return claims.AppID, nil
}
