package main

import (
	"encoding/json"
	"os"

	"lonja/shop"
)

type asyncAPICommand struct{}

// Run prints the document.
func (asyncAPICommand) Run() error {
	config, err := streamsConfig()
	if err != nil {
		return err
	}
	doc, err := shop.AsyncAPI(config)
	if err != nil {
		return err
	}
	out := json.NewEncoder(os.Stdout)
	out.SetEscapeHTML(false)
	out.SetIndent("", "  ")
	return out.Encode(doc)
}
