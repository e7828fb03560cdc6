package gateway

import (
	"net/http"
	"reflect"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"lonja/events"
)

// option says something about a route, to the gateway or to its readers.
type option func(*gateway, *route)

func tag(name string) option { return func(_ *gateway, rt *route) { rt.Tags = []string{name} } }

// about describes a route, besides what other options say of it.
func about(text string) option {
	return func(_ *gateway, rt *route) { rt.Description = strings.TrimSpace(rt.Description + " " + text) }
}

// signedIn asks for an access token.
func signedIn(_ *gateway, rt *route) {
	rt.Security = []map[string][]string{{bearer: {}}}
	rt.Errors = append(rt.Errors, http.StatusUnauthorized)
}

// staffOnly and adminOnly ask for an access token. Whether its holder may do
// this is decided by the service; here it is described, and nobody else has it left
// for later.
func staffOnly(g *gateway, rt *route) {
	onlyFor("Staff", events.StaffRoles...)(g, rt)
}

func adminOnly(g *gateway, rt *route) {
	onlyFor("Administrators", events.Admin)(g, rt)
}

func onlyFor(whom string, roles ...string) option {
	return func(g *gateway, rt *route) {
		signedIn(g, rt)
		about(whom+" only.")(g, rt)
		rt.roles = roles
		rt.Errors = append(rt.Errors, http.StatusForbidden)
	}
}

// limited tells the service where a request comes from, which lets nobody send
// too many.
func limited(_ *gateway, rt *route) {
	rt.limited = true
	rt.Errors = append(rt.Errors, http.StatusTooManyRequests)
}

// keyed takes an Idempotency-Key.
func keyed(_ *gateway, rt *route) {
	rt.keyed = true
	rt.Parameters = append(rt.Parameters, keyParam)
	rt.headers["Idempotent-Replayed"] = "true when the same request had been answered before"
}

// waits takes Prefer: wait=N.
func waits(_ *gateway, rt *route) {
	rt.Parameters = append(rt.Parameters, preferParam)
	rt.headers["Preference-Applied"] = "The longest that was waited for"
	rt.headers["Location"] = "Where the order is"
}

// resumes takes a Last-Event-ID.
func resumes(_ *gateway, rt *route) { rt.Parameters = append(rt.Parameters, lastEventParam) }

// accepts takes a JSON body.
func accepts(t reflect.Type) option {
	return func(g *gateway, rt *route) {
		rt.body = g.schema(t)
		rt.RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{"application/json": {Schema: rt.body}}}
		rt.Errors = append(rt.Errors, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType)
	}
}

const formType = "application/x-www-form-urlencoded"

// acceptsForm takes the same fields as a form, too.
func acceptsForm(_ *gateway, rt *route) {
	rt.RequestBody.Content[formType] = &huma.MediaType{Schema: rt.body}
}

// probed is for routes that belong to probes and monitors, which add to the
// query what they like.
func probed(_ *gateway, rt *route) { rt.anyQuery = true }

// comesBack takes the consistency token of a browser that comes back.
func comesBack(_ *gateway, rt *route) {
	rt.query = []string{afterParam.Name}
	rt.Parameters = append(rt.Parameters, afterParam)
}

// gives answers with a T as JSON.
func gives[T any](status int) option {
	return func(g *gateway, rt *route) { rt.responds(status, "application/json", g.schema(reflect.TypeFor[T]())) }
}

// mayWait answers with 202 when the service is away: what was asked for will be
// done later. It is for those who say who they are, for whatever is left takes room,
// and for routes of add.
func mayWait(g *gateway, rt *route) {
	rt.later = true
	rt.Responses["202"] = &huma.Response{
		Description: "The service is away and will do it when it is back",
		Headers:     map[string]*huma.Header{"Location": {Description: "Where the outcome will be told", Schema: &huma.Schema{Type: huma.TypeString}}},
		Content:     map[string]*huma.MediaType{"application/json": {Schema: g.schema(reflect.TypeFor[outcome]())}},
	}
}

// shows answers with a text of another type.
func shows(contentType string) option {
	return func(_ *gateway, rt *route) {
		rt.responds(http.StatusOK, contentType, &huma.Schema{Type: huma.TypeString})
	}
}

// refuses may answer with these statuses, besides those that any route may.
func refuses(statuses ...int) option {
	return func(_ *gateway, rt *route) { rt.Errors = append(rt.Errors, statuses...) }
}

func (rt *route) responds(status int, contentType string, schema *huma.Schema) {
	rt.DefaultStatus = status
	key := strconv.Itoa(status)
	if rt.Responses[key] == nil {
		rt.Responses[key] = &huma.Response{Description: http.StatusText(status), Content: map[string]*huma.MediaType{}}
	}
	rt.Responses[key].Content[contentType] = &huma.MediaType{Schema: schema}
}

// announce describes the headers of a good answer.
func (rt *route) announce() {
	key := strconv.Itoa(rt.DefaultStatus)
	if rt.Responses[key] == nil {
		rt.Responses[key] = &huma.Response{Description: http.StatusText(rt.DefaultStatus)}
	}
	described := map[string]*huma.Header{}
	for name, says := range rt.headers {
		described[name] = &huma.Header{Description: says, Schema: &huma.Schema{Type: huma.TypeString}}
	}
	rt.Responses[key].Headers = described
}
