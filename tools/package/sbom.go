package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	spdxjson "github.com/spdx/tools-golang/json"
	"github.com/spdx/tools-golang/spdx/v2/common"
	"github.com/spdx/tools-golang/spdx/v2/v2_3"
)

// writeSBOM as an SPDX 2.3 document: the image, and the modules linked into the
// function that it holds.
func writeSBOM(path string, modules []module, platform v1.Platform, r release) error {
	buf := &bytes.Buffer{}
	if err := spdxjson.Write(newSBOM(modules, platform, r), buf, spdxjson.Indent("  ")); err != nil {
		return fmt.Errorf("cannot encode bill of materials: %w", err)
	}
	if err := os.WriteFile(path, buf.Bytes(), 0o644); err != nil { //nolint:gosec // What is published is no secret.
		return fmt.Errorf("cannot write bill of materials: %w", err)
	}
	return nil
}

func newSBOM(modules []module, platform v1.Platform, r release) *v2_3.Document {
	const image = common.ElementID("image")
	name := fmt.Sprintf("function-service-connections-%s-%s-%s", r.version, platform.OS, platform.Architecture)

	doc := &v2_3.Document{
		SPDXVersion:       v2_3.Version,
		DataLicense:       v2_3.DataLicense,
		SPDXIdentifier:    "DOCUMENT",
		DocumentName:      name,
		DocumentNamespace: source + "/releases/" + name,
		CreationInfo: &v2_3.CreationInfo{
			Created:  r.created.Format(time.RFC3339),
			Creators: []common.Creator{{CreatorType: "Tool", Creator: "function-service-connections/tools/package"}},
		},
		Packages: []*v2_3.Package{{
			PackageName:             "function-service-connections",
			PackageSPDXIdentifier:   image,
			PackageVersion:          r.version,
			PackageDownloadLocation: source,
			PackageLicenseConcluded: "Apache-2.0",
			PackageLicenseDeclared:  "Apache-2.0",
			PackageCopyrightText:    "NOASSERTION",
			PrimaryPackagePurpose:   "CONTAINER",
		}},
		Relationships: []*v2_3.Relationship{{
			RefA: common.MakeDocElementID("", "DOCUMENT"), RefB: common.MakeDocElementID("", string(image)), Relationship: common.TypeRelationshipDescribe,
		}},
	}
	for _, m := range modules {
		id := common.ElementID("module-" + strings.Map(identifier, m.path))
		version := m.version
		if version == "" {
			version = r.version
		}
		licence := strings.Join(m.spdx, " AND ")
		doc.Packages = append(doc.Packages, &v2_3.Package{
			PackageName:             m.path,
			PackageSPDXIdentifier:   id,
			PackageVersion:          version,
			PackageDownloadLocation: "NOASSERTION",
			PackageLicenseConcluded: licence,
			PackageLicenseDeclared:  licence,
			PackageCopyrightText:    "NOASSERTION",
			PackageExternalReferences: []*v2_3.PackageExternalReference{{
				Category: common.CategoryPackageManager, RefType: common.TypePackageManagerPURL, Locator: "pkg:golang/" + m.path + "@" + version,
			}},
		})
		doc.Relationships = append(doc.Relationships, &v2_3.Relationship{
			RefA: common.MakeDocElementID("", string(image)), RefB: common.MakeDocElementID("", string(id)), Relationship: common.TypeRelationshipContains,
		})
	}
	return doc
}

// identifier replaces what an SPDX identifier can't hold.
func identifier(r rune) rune {
	if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' {
		return r
	}
	return '-'
}
