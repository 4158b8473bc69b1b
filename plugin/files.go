package plugin

import (
	"fmt"
	"io"

	"github.com/serviceconnections/function-service-connections/plugin/manifest"
	"github.com/serviceconnections/function-service-connections/plugin/preview"
)

// readClaims of a file, which holds at least one.
func readClaims(path string, stdin io.Reader) ([]map[string]any, error) {
	f, err := manifest.Read(path, stdin)
	if err != nil {
		return nil, err
	}
	objects, err := f.Objects()
	if err != nil {
		return nil, err
	}
	var claims []map[string]any
	for _, c := range objects {
		if preview.IsClaim(c) {
			claims = append(claims, c)
		}
	}
	if len(claims) == 0 {
		return nil, fmt.Errorf("%s holds no ServiceConnection; it must have apiVersion serviceconnections.io/v1alpha1", f.Name)
	}
	return claims, nil
}

// readObjects of files, and of all files in directories.
func readObjects(paths []string) ([]map[string]any, error) {
	var objects []map[string]any
	for _, path := range paths {
		files, err := manifest.ReadAll(path)
		if err != nil {
			return nil, err
		}
		for _, f := range files {
			os, err := f.Objects()
			if err != nil {
				return nil, err
			}
			objects = append(objects, os...)
		}
	}
	return objects, nil
}
