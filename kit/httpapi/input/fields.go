package input

import (
	"fmt"
	"maps"
	"net/url"
	"reflect"
	"slices"
	"strings"

	"lonja/kit/httpapi/problem"
	"lonja/kit/strictjson"
)

// maxFields bounds the fields of a query string or a form.
const maxFields = 100

// Fields parses a query string or a URL-encoded form. It may have at most 100 fields; each
// must be known and occur once. The error is a *problem.Problem: status 400 when it cannot
// be parsed, and 422 with the unknown and repeated fields otherwise.
func Fields(encoded string, known []string) (url.Values, error) {
	if strings.Count(encoded, "&") >= maxFields {
		return nil, problem.Malformed(fmt.Sprintf("there are more than %d fields", maxFields))
	}
	values, err := url.ParseQuery(encoded)
	if err != nil {
		return nil, problem.Malformed("the query string or form cannot be parsed: it must be URL-encoded")
	}
	var faults []problem.Fault
	for _, name := range slices.Sorted(maps.Keys(values)) {
		switch {
		case len(faults) == maxFaults:
		case !slices.Contains(known, name):
			faults = append(faults, problem.Fault{Field: strictjson.Truncate(strings.ToValidUTF8(name, "\ufffd")), Detail: "is unknown" + knownFields(known)})
		case len(values[name]) > 1:
			faults = append(faults, problem.Fault{Field: name, Detail: "is given more than once"})
		}
	}
	if len(faults) > 0 {
		return nil, problem.InvalidFields(faults)
	}
	return values, nil
}

func knownFields(known []string) string {
	if len(known) == 0 {
		return "; no fields are known here"
	}
	return "; known: " + strings.Join(known, ", ")
}

// Parameters returns the names of a struct's query parameters: the values of the tag
// "query" of its fields, including those of embedded structs.
func Parameters(of reflect.Type) (names []string) {
	for _, f := range reflect.VisibleFields(of) {
		if name, ok := f.Tag.Lookup("query"); ok {
			names = append(names, name)
		}
	}
	return names
}
