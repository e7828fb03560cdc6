// Package asyncapi compares the AsyncAPI document with what a running shop sends and
// receives on NATS.
package asyncapi

import (
	"testing"

	"lonja/kit/asyncapi"
	"lonja/shop"
	"lonja/test/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

func describe(t *testing.T) *asyncapi.Document {
	t.Helper()
	doc, err := shop.AsyncAPI(harness.Streams(t))
	if err != nil {
		t.Fatal(err)
	}
	return doc
}
