// Command postgres connects to a database as an application does, where DB_HOST and
// DB_PORT say unless it knows better, and asks it for the account and the database.
package main

import (
	"context"
	"flag"
	"fmt"
	"net/url"
	"os"

	"github.com/jackc/pgx/v5"

	"github.com/serviceconnections/function-service-connections/test/clients/attempt"
)

func main() {
	host := flag.String("host", os.Getenv("DB_HOST"), "of the database")
	port := flag.String("port", os.Getenv("DB_PORT"), "of the database")
	flag.Parse()
	os.Exit(attempt.Run(func(ctx context.Context) (string, error) {
		u := url.URL{Scheme: "postgres", User: url.User(os.Getenv("PGUSER")), Host: *host + ":" + *port, Path: "/postgres"}
		conn, err := pgx.Connect(ctx, u.String()+"?sslmode=disable")
		if err != nil {
			return "", err //nolint:wrapcheck // The library's own words are what a user reads.
		}
		defer conn.Close(ctx) //nolint:errcheck // What was asked is answered.
		var user, database string
		if err := conn.QueryRow(ctx, "select current_user, current_database()").Scan(&user, &database); err != nil {
			return "", err //nolint:wrapcheck // The library's own words are what a user reads.
		}
		return fmt.Sprintf("%s in %s", user, database), nil
	}))
}
