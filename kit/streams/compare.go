package streams

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

// Difference is a field in which a configuration on the server differs from the
// wanted one. The values are JSON: null means not set, and -1 an explicit "no limit".
type Difference struct {
	Field string          `json:"field"`
	Is    json.RawMessage `json:"is"`
	Want  json.RawMessage `json:"want"`
}

// fields is a configuration of JetStream by field name.
type fields map[string]json.RawMessage

// defaults lists the values that the server fills in for fields that are not set.
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

// ignored lists fields that have no effect on delivery and storage: notes of the
// server, and names that the client chooses.
var ignored = []string{"metadata", "name", "placement", "pause_until"}

// replicasField is chosen by the operator of a cluster, not by streams.yaml.
const replicasField = "num_replicas"

// Compare returns the fields in which the configuration of a stream or a consumer
// differs from the wanted one, sorted by name. It ignores num_replicas, and fields
// that want does not set and the server filled in. Both arguments must have the same
// type, [jetstream.StreamConfig] or [jetstream.ConsumerConfig].
func Compare(want, is any) []Difference {
	return slices.DeleteFunc(compare(want, is), func(d Difference) bool { return d.Field == replicasField })
}

func compare(want, is any) []Difference {
	wanted, actual := fieldsOf(want), fieldsOf(is)
	all := maps.Clone(wanted)
	maps.Copy(all, actual)
	var differences []Difference
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if !slices.Contains(ignored, name) && !same(name, wanted[name], actual[name]) {
			differences = append(differences, Difference{name, orNull(actual[name]), orNull(wanted[name])})
		}
	}
	return differences
}

func fieldsOf(config any) fields {
	data, err := json.Marshal(config)
	var f fields
	if err == nil {
		err = json.Unmarshal(data, &f)
	}
	if err != nil {
		panic(err) // a configuration of JetStream is always a JSON object
	}
	return f
}

// same reports whether a field is as wanted. A field that is not wanted may have the
// server's default.
func same(name string, want, is json.RawMessage) bool {
	if unset(want) {
		return unset(is) || slices.Contains(defaults[name], string(is))
	}
	return bytes.Equal(want, is)
}

// unset reports whether a value means "not set". JetStream also writes "no limit" as
// -1.
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
