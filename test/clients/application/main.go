// Command application reads what a team's application reads: an object of its bucket, a
// secret of its vault, and what its database says. Each is by the cloud's own library with
// its defaults, and so by whatever the pod has. It has no key to anything.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"os"

	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azsecrets"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/jackc/pgx/v5"
)

func main() {
	bucket := flag.String("bucket", "", "of S3")
	object := flag.String("object", "greeting", "to read of the bucket")
	vault := flag.String("vault", "", "of Key Vault, by its URL")
	secret := flag.String("secret", "greeting", "to read of the vault")
	database := flag.Bool("database", true, "read the database, too, that DB_HOST and DB_PORT name")
	flag.Parse()
	ctx := context.Background()
	for _, of := range []struct {
		what, name string
		read       func() (string, error)
		skip       bool
	}{
		{what: "bucket", name: *bucket + "/" + *object, read: func() (string, error) { return readBucket(ctx, *bucket, *object) }},
		{what: "vault", name: *vault + "/secrets/" + *secret, read: func() (string, error) { return readVault(ctx, *vault, *secret) }},
		{what: "database", name: os.Getenv("DB_INSTANCE_CONNECTION_NAME") + " at " + net.JoinHostPort(os.Getenv("DB_HOST"), os.Getenv("DB_PORT")), read: func() (string, error) { return readDatabase(ctx) }, skip: !*database},
	} {
		if of.skip {
			continue
		}
		said, err := of.read()
		if err != nil {
			fmt.Fprintf(os.Stderr, "cannot read %s %s: %v\n", of.what, of.name, err)
			os.Exit(1)
		}
		_, _ = fmt.Fprintf(os.Stdout, "%-8s  %s says: %s\n", of.what, of.name, said)
	}
}

func readBucket(ctx context.Context, bucket, object string) (string, error) {
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return "", err //nolint:wrapcheck // The SDK's own words are what a user reads.
	}
	out, err := s3.NewFromConfig(cfg).GetObject(ctx, &s3.GetObjectInput{Bucket: &bucket, Key: &object})
	if err != nil {
		return "", err //nolint:wrapcheck // As above.
	}
	defer out.Body.Close() //nolint:errcheck // It was read.
	b, err := io.ReadAll(out.Body)
	return string(b), err
}

func readVault(ctx context.Context, vault, secret string) (string, error) {
	credential, err := azidentity.NewDefaultAzureCredential(nil)
	if err != nil {
		return "", err //nolint:wrapcheck // The SDK's own words are what a user reads.
	}
	client, err := azsecrets.NewClient(vault, credential, nil)
	if err != nil {
		return "", err //nolint:wrapcheck // As above.
	}
	out, err := client.GetSecret(ctx, secret, "", nil)
	if err != nil {
		return "", err //nolint:wrapcheck // As above.
	}
	return *out.Value, nil
}

func readDatabase(ctx context.Context) (said string, err error) {
	conn, err := pgx.Connect(ctx, "host="+os.Getenv("DB_HOST")+" port="+os.Getenv("DB_PORT")+" user="+os.Getenv("PGUSER")+" dbname=postgres sslmode=disable")
	if err != nil {
		return "", err //nolint:wrapcheck // The library's own words are what a user reads.
	}
	defer conn.Close(ctx) //nolint:errcheck // What was asked is answered.
	err = conn.QueryRow(ctx, "select 'PostgreSQL ' || current_setting('server_version') || ' lets in ' || current_user").Scan(&said)
	return said, err //nolint:wrapcheck // As above.
}
