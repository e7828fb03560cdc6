package gateway

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"

	"lonja/kit/strictjson"
)

// fieldsAtMost is how many fields a query string or a form may have.
const fieldsAtMost = 100

// fields reads a query string or a form: fields that are known, each there
// once. What cannot be read is a problem with status 400; a field that would be
// ignored, with 422 and its name.
func fields(encoded string, known []string) (url.Values, error) {
	if strings.Count(encoded, "&") >= fieldsAtMost {
		return nil, malformed(fmt.Sprintf("there are more than %d fields", fieldsAtMost))
	}
	given, err := url.ParseQuery(encoded)
	if err != nil {
		return nil, malformed("the query string or form cannot be read: it must be URL-encoded")
	}
	var faults []fault
	for _, name := range slices.Sorted(maps.Keys(given)) {
		switch {
		case len(faults) == maxFaults:
		case !slices.Contains(known, name):
			faults = append(faults, fault{strictjson.Shorten(strings.ToValidUTF8(name, "\ufffd")), "is not known here" + instead(known)})
		case len(given[name]) > 1:
			faults = append(faults, fault{name, "is given more than once"})
		}
	}
	if len(faults) > 0 {
		return nil, faulty(http.StatusUnprocessableEntity, faults)
	}
	return given, nil
}

func instead(known []string) string {
	if len(known) == 0 {
		return "; there are no parameters"
	}
	return "; there is " + strings.Join(known, ", ")
}

// parameters are the names of an input's query parameters.
func parameters(input reflect.Type) (names []string) {
	for _, f := range reflect.VisibleFields(input) {
		if name, ok := f.Tag.Lookup("query"); ok {
			names = append(names, name)
		}
	}
	return names
}

// checkParameters refuses a query string that the route would ignore a part of.
func (c *call) checkParameters() error {
	if c.r.URL.RawQuery == "" || c.route.anyQuery {
		return nil
	}
	_, err := fields(c.r.URL.RawQuery, c.route.query)
	return err
}
