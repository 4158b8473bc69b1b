package plugin

import (
	"strings"
	"testing"
)

// An editor is told the schema of the release that has written a file, so that it marks
// nothing that the cluster takes, and takes nothing that it wouldn't.
func TestImportedSchema(t *testing.T) {
	t.Parallel()

	_, out, _ := run(t, "", "import", "../docs/plugin/example/porter.yaml")
	if want := "/releases/download/v1.2.3/serviceconnection.schema.json\n"; !strings.Contains(out, want) {
		t.Errorf("want the schema of v1.2.3 named, got:\n%s", out)
	}
	for version, want := range map[string]string{
		"v1.2.3":                               "v1.2.3",
		"v1.2.3-rc.1":                          "v1.2.3-rc.1",
		"":                                     "",
		"dev":                                  "",
		"(devel)":                              "",
		"1.2.3":                                "",
		"v1.2.3+dirty":                         "",
		"v1.2.4-0.20261128221748-145b25600000": "",
		"3d3c42e5aac5ba805825da76410c181273ba90b1": "",
	} {
		if got := releaseOf(version); got != want {
			t.Errorf("a plugin of version %q is of release %q, want %q", version, got, want)
		}
	}
}
