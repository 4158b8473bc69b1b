// Command aws logs in to AWS as an application does, by the default chain of the SDK,
// and asks who it is.
package main

import (
	"context"
	"flag"
	"os"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/serviceconnections/function-service-connections/test/clients/attempt"
)

func main() {
	flag.Parse()
	var client *sts.Client
	os.Exit(attempt.Run(func(ctx context.Context) (string, error) {
		if client == nil {
			// One for the life of the process, as applications have it.
			cfg, err := config.LoadDefaultConfig(ctx)
			if err != nil {
				return "", err //nolint:wrapcheck // The SDK's own words are what a user reads.
			}
			client = sts.NewFromConfig(cfg)
		}
		out, err := client.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
		if err != nil {
			return "", err //nolint:wrapcheck // The SDK's own words are what a user reads.
		}
		return *out.Arn, nil
	}))
}
