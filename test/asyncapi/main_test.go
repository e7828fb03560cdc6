// Package asyncapi compares the AsyncAPI document with what a running shop sends and
// receives on NATS.
package asyncapi

import (
	"testing"

	"lonja"
	"lonja/kit/asyncapi"
	"lonja/kit/streams"
	"lonja/shop"
	"lonja/test/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

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
