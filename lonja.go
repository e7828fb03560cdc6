// Package lonja is a shop backend: catalogue, stock, orders, payments and
// accounts. See README.md for how to run it and ARCHITECTURE.md for how it is
// built. This package holds only what lies at the top of the tree.
package lonja

import _ "embed"

// Name is the application's, in the source of events and in the names of metrics.
const Name = "lonja"

// StreamsYAML is streams.yaml, the declaration of every stream and shared consumer.
//
//go:embed streams.yaml
var StreamsYAML []byte
