package streams

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

// Difference is a field of a configuration that is not as streams.yaml says.
// The values are JSON, null for none; where a limit is said to be none, it is -1.
type Difference struct {
	Field string          `json:"field"`
	Is    json.RawMessage `json:"is"`
	Want  json.RawMessage `json:"want"`
}

// fields is a configuration of JetStream's by its field names.
type fields map[string]json.RawMessage

// defaults are what the server fills in where streams.yaml says nothing.
var defaults = map[string][]string{
	"duplicate_window": {"120000000000"},
	"compression":      {`"none"`},
	"deliver_policy":   {`"all"`},
	"replay_policy":    {`"instant"`},
	"ack_policy":       {`"explicit"`},
	"max_waiting":      {"512"},
	"ack_wait":         {"30000000000"},
	"max_ack_pending":  {"1000"},
	"consumer_limits":  {"{}"},
}

// ignored are fields that say nothing about what the shop relies on: the
// server's own notes, and the names that the client gives.
var ignored = []string{"metadata", "name", "placement", "pause_until"}

// replicas is the field that a cluster's operator chooses, not streams.yaml.
const replicas = "num_replicas"

// Compare tells in which fields the configuration of a stream or a consumer is
// not as wanted, num_replicas apart. Want and is are of one of jetstream's types.
func Compare(want, is any) []Difference {
	return slices.DeleteFunc(compare(want, is), func(d Difference) bool { return d.Field == replicas })
}

func compare(want, is any) []Difference {
	wanted, has := fieldsOf(want), fieldsOf(is)
	all := maps.Clone(wanted)
	maps.Copy(all, has)
	var found []Difference
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if !slices.Contains(ignored, name) && !same(name, wanted[name], has[name]) {
			found = append(found, Difference{name, orNull(has[name]), orNull(wanted[name])})
		}
	}
	return found
}

func fieldsOf(config any) fields {
	data, err := json.Marshal(config)
	var f fields
	if err == nil {
		err = json.Unmarshal(data, &f)
	}
	if err != nil {
		panic(err) // configurations of JetStream's always are JSON objects
	}
	return f
}

// same compares a field; what streams.yaml leaves out may be the server's default.
func same(name string, want, is json.RawMessage) bool {
	if unset(want) {
		return unset(is) || slices.Contains(defaults[name], string(is))
	}
	return bytes.Equal(want, is)
}

// unset tells whether a value is none: JetStream writes "no limit" as -1, too.
func unset(value json.RawMessage) bool {
	switch strings.TrimSpace(string(value)) {
	case "", "null", "0", "-1", `""`, "false", "[]", "{}":
		return true
	}
	return false
}

func orNull(value json.RawMessage) json.RawMessage {
	if unset(value) && string(value) != "-1" {
		return json.RawMessage("null")
	}
	return value
}
