package shop_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/pb33f/jsonschema/v6"

	"lonja"
	"lonja/kit/asyncapi"
	"lonja/kit/streams"
	"lonja/shop"
)

func streamsConfig(t *testing.T) *streams.Config {
	t.Helper()
	config, err := streams.Parse(lonja.StreamsYAML)
	if err != nil {
		t.Fatal(err)
	}
	return config
}

func describe(t *testing.T) *asyncapi.Document {
	t.Helper()
	doc, err := shop.AsyncAPI(streamsConfig(t))
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// TestAsyncAPI_IsTheGoldenFile keeps docs/asyncapi.json, which others rely on.
func TestAsyncAPI_IsTheGoldenFile(t *testing.T) {
	var data bytes.Buffer
	out := json.NewEncoder(&data)
	out.SetEscapeHTML(false)
	out.SetIndent("", "  ")
	if err := out.Encode(describe(t)); err != nil {
		t.Fatal(err)
	}
	wantGolden(t, golden, data.Bytes())
}

const golden = "../docs/asyncapi.json"

func TestAsyncAPI_IsValid(t *testing.T) {
	specification := compileFile(t, "testdata/asyncapi-3.0.schema.json")
	data, err := json.Marshal(describe(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := validate(t, specification, data); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(doc map[string]any){
		"no info":                     func(doc map[string]any) { delete(doc, "info") },
		"an unknown field":            func(doc map[string]any) { doc["subjects"] = 1 },
		"an operation does something": func(doc map[string]any) { first(doc["operations"])["action"] = "publish" },
		"a channel with a topic":      func(doc map[string]any) { first(doc["channels"])["topic"] = "a" },
		"a schema of no type":         func(doc map[string]any) { first(inside(doc["components"], "schemas"))["type"] = "text" },
	} {
		var broken map[string]any
		if err := json.Unmarshal(data, &broken); err != nil {
			t.Fatal(err)
		}
		spoil(broken)
		changed, err := json.Marshal(broken)
		if err != nil {
			t.Fatal(err)
		}
		if validate(t, specification, changed) == nil {
			t.Errorf("%s: the check lets it through", name)
		}
	}
}

func inside(v any, name string) any { return v.(map[string]any)[name] }

// first is the first of an object's members.
func first(v any) map[string]any {
	all := v.(map[string]any)
	return all[slices.Sorted(maps.Keys(all))[0]].(map[string]any)
}

// TestAsyncAPI_ReferencesHaveTargets checks what the specification requires beyond its
// schema: a reference has a target, an operation's messages are its channel's, and an
// address has exactly the parameters that are described.
func TestAsyncAPI_ReferencesHaveTargets(t *testing.T) {
	doc := describe(t)
	data, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	var root any
	if err := json.Unmarshal(data, &root); err != nil {
		t.Fatal(err)
	}
	found := 0
	var walk func(any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			if ref, is := v["$ref"].(string); is {
				found++
				if target(root, ref) == nil {
					t.Errorf("%s leads nowhere", ref)
				}
			}
			for _, member := range v {
				walk(member)
			}
		case []any:
			for _, item := range v {
				walk(item)
			}
		}
	}
	walk(root)
	if found < 300 {
		t.Errorf("only %d references", found)
	}
	for name, o := range doc.Operations {
		if o.Reply == nil {
			continue
		}
		for _, m := range o.Reply.Messages {
			if !strings.HasPrefix(m.Ref, o.Reply.Channel.Ref+"/messages/") {
				t.Errorf("%s is answered with %s, which is none of %s", name, m.Ref, o.Reply.Channel.Ref)
			}
		}
	}
	for key, c := range doc.Channels {
		address := c.Address
		for name := range c.Parameters {
			address = strings.ReplaceAll(address, "{"+name+"}", "*")
		}
		if address != c.Subject() {
			t.Errorf("%s: the address %s and its parameters do not fit together", key, c.Address)
		}
	}
}

// target is what a reference within a document leads to, nil for nothing.
func target(root any, ref string) any {
	path, local := strings.CutPrefix(ref, "#/")
	if !local {
		return nil
	}
	for name := range strings.SplitSeq(path, "/") {
		object, is := root.(map[string]any)
		if !is {
			return nil
		}
		root = object[name]
	}
	return root
}

func TestAsyncAPI_CoversTheStreams(t *testing.T) {
	doc := describe(t)
	if err := doc.Uncovered(streamsConfig(t)); err != nil {
		t.Error(err)
	}
	delete(doc.Channels, "outcomes")
	delete(doc.Channels, "timers.due.inventory-expiry")
	err := doc.Uncovered(streamsConfig(t))
	for _, says := range []string{"outcomes.>", "inventory-expiry"} {
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("what is missing is not noticed: want %s, got %v", says, err)
		}
	}
	less := streamsConfig(t)
	less.Streams = slices.DeleteFunc(less.Streams, func(s streams.Stream) bool { return s.Name == "REVOCATIONS" || s.Name == "CATALOG" })
	doc, err = shop.AsyncAPI(less)
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Uncovered(less); err == nil || !strings.Contains(err.Error(), "events.product.created") {
		t.Errorf("events that no stream keeps are not noticed: %v", err)
	}
}

// TestAsyncAPI_HasTheOperationsOfTheServices compares a few operations with what the
// services do.
func TestAsyncAPI_HasTheOperationsOfTheServices(t *testing.T) {
	doc := describe(t)
	for name, want := range map[string]string{
		"orders.send.events.order.placed":               "",
		"inventory.receive.events.order.placed":         "inventory-on-orders",
		"orders.receive.events.stock.reserved":          "orders-on-stock book",
		"inventory.receive.events.stock.reserved":       "levels reservations",
		"identity.receive.events.session.ended":         "identity-on-identity accounts",
		"payments.receive.timers.due.payments-deadline": "payments-deadline",
		"orders.receive.deferred.orders.place":          "orders-deferred",
		"orders.receive.commands.orders.place":          "",
		"orders.send.changes.orders":                    "",
		"identity.send.revocations":                     "",
		"identity.send.keys":                            "",
	} {
		o := doc.Operations[name]
		if o == nil {
			t.Errorf("there is no operation %s", name)
			continue
		}
		if got := strings.Join(append(slices.Clone(o.XConsumers), o.XViews...), " "); got != want {
			t.Errorf("%s: by %q, want %q", name, got, want)
		}
	}
	for _, name := range []string{"payments.send.events.order.placed", "catalog.receive.events.order.placed", "identity.receive.deferred.identity.register", "orders.send.keys"} {
		if doc.Operations[name] != nil {
			t.Errorf("there is an operation %s", name)
		}
	}
	place := doc.Operations["orders.receive.commands.orders.place"]
	if place.Bindings.NATS.Queue != "orders" || len(place.Reply.Messages) != 2 {
		t.Errorf("orders.place: %+v %+v", place.Bindings, place.Reply)
	}
}

// TestAsyncAPI_SchemasAreOfAnyDraft makes sure that tools which know draft 07 alone
// can read the document's schemas.
func TestAsyncAPI_SchemasAreOfAnyDraft(t *testing.T) {
	data, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	for _, draft := range []*jsonschema.Draft{jsonschema.Draft7, jsonschema.Draft2020} {
		c := newCompiler(t, data, "urn:lonja", draft)
		for name := range describe(t).Components.Schemas {
			if _, err := c.Compile("urn:lonja#/components/schemas/" + name); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}
