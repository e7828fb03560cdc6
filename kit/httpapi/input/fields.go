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

// fieldsAtMost is how many fields a query string or a form may have.
const fieldsAtMost = 100

// Fields reads a query string or a form: fields that are known, each there
// once, 100 at most. The error is a *problem.Problem with status 400 when it cannot
// be read, and names the fields that would be ignored otherwise.
func Fields(encoded string, known []string) (url.Values, error) {
	if strings.Count(encoded, "&") >= fieldsAtMost {
		return nil, problem.Malformed(fmt.Sprintf("there are more than %d fields", fieldsAtMost))
	}
	given, err := url.ParseQuery(encoded)
	if err != nil {
		return nil, problem.Malformed("the query string or form cannot be read: it must be URL-encoded")
	}
	var faults []problem.Fault
	for _, name := range slices.Sorted(maps.Keys(given)) {
		switch {
		case len(faults) == maxFaults:
		case !slices.Contains(known, name):
			faults = append(faults, problem.Fault{Field: strictjson.Truncate(strings.ToValidUTF8(name, "\ufffd")), Detail: "is not known here" + instead(known)})
		case len(given[name]) > 1:
			faults = append(faults, problem.Fault{Field: name, Detail: "is given more than once"})
		}
	}
	if len(faults) > 0 {
		return nil, problem.Faulty(faults)
	}
	return given, nil
}

func instead(known []string) string {
	if len(known) == 0 {
		return "; there are no parameters"
	}
	return "; there is " + strings.Join(known, ", ")
}

// Parameters are the names of a struct's query parameters: its fields with the
// tag query, embedded structs included.
func Parameters(of reflect.Type) (names []string) {
	for _, f := range reflect.VisibleFields(of) {
		if name, ok := f.Tag.Lookup("query"); ok {
			names = append(names, name)
		}
	}
	return names
}
