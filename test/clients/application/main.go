// Command application reads what a team's application reads: an object of its bucket, a
// secret of its vault, what its databases say, and what it has written on its disks. Each
// is by the cloud's own library with its defaults, and so by whatever the pod has. It has no
// key to anything.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azsecrets"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/jackc/pgx/v5"
)

func main() {
	bucket := flag.String("bucket", "", "of S3, if any")
	object := flag.String("object", "greeting", "to read of the bucket")
	vault := flag.String("vault", "", "of Key Vault, by its URL, if any")
	secret := flag.String("secret", "greeting", "to read of the vault")
	var databases, folders []string
	list := func(of *[]string) func(string) error {
		return func(s string) error {
			*of = append(*of, s)
			return nil
		}
	}
	flag.Func("database", "by the variables of its host, port and instance, with commas; may be given again", list(&databases))
	flag.Func("folder", "of a disk, by the variable that names it; may be given again", list(&folders))
	flag.Parse()
	ctx := context.Background()
	var reads []source
	if *bucket != "" {
		reads = append(reads, source{"bucket", *bucket + "/" + *object, func() (string, error) { return readBucket(ctx, *bucket, *object) }})
	}
	if *vault != "" {
		reads = append(reads, source{"vault", *vault + "/secrets/" + *secret, func() (string, error) { return readVault(ctx, *vault, *secret) }})
	}
	for _, d := range databases {
		names := append(strings.Split(d, ","), "", "")
		host, port := os.Getenv(names[0]), os.Getenv(names[1])
		reads = append(reads, source{"database", os.Getenv(names[2]) + " at " + net.JoinHostPort(host, port), func() (string, error) { return readDatabase(ctx, host, port) }})
	}
	for _, f := range folders {
		reads = append(reads, source{"disk", f, func() (string, error) {
			return writeAndRead(filepath.Join(os.Getenv(f), "greeting"), "Hello from "+f+".")
		}})
	}
	for _, of := range reads {
		said, err := of.read()
		if err != nil {
			fmt.Fprintf(os.Stderr, "cannot read %s %s: %v\n", of.what, of.name, err)
			os.Exit(1)
		}
		_, _ = fmt.Fprintf(os.Stdout, "%-8s  %s says: %s\n", of.what, of.name, said)
	}
}

// A source that the application reads.
type source struct {
	what, name string
	read       func() (string, error)
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

func readDatabase(ctx context.Context, host, port string) (said string, err error) {
	conn, err := pgx.Connect(ctx, "host="+host+" port="+port+" user="+os.Getenv("PGUSER")+" dbname=postgres sslmode=disable")
	if err != nil {
		return "", err //nolint:wrapcheck // The library's own words are what a user reads.
	}
	defer conn.Close(ctx) //nolint:errcheck // What was asked is answered.
	err = conn.QueryRow(ctx, "select 'PostgreSQL ' || current_setting('server_version') || ' of ' || current_setting('cluster_name') || ' lets in ' || current_user").Scan(&said)
	return said, err //nolint:wrapcheck // As above.
}

func writeAndRead(file, text string) (string, error) {
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return "", err //nolint:wrapcheck // The system's own words are what a user reads.
	}
	b, err := os.ReadFile(file)
	return string(b), err
}
