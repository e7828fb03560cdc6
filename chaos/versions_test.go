package main

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestBuildPrevious_WithoutHistorySaysWhatToDo(t *testing.T) {
	t.Setenv("GIT_DIR", filepath.Join(t.TempDir(), "none"))
	if _, err := buildPrevious(t.Context(), t.TempDir()); err == nil || !strings.Contains(err.Error(), "--old") || !strings.Contains(err.Error(), previousCommit) {
		t.Errorf("%v", err)
	}
}

func TestAnyOrigin_RemovesTheGatewaysAddress(t *testing.T) {
	const answer = `[{"url":"http://127.0.0.1:20001/sandbox/payments/1"},{"url":"http://127.0.0.1:20002/x","n":1}]`
	if got := string(anyOrigin([]byte(answer))); got != `[{"url":"/sandbox/payments/1"},{"url":"/x","n":1}]` {
		t.Errorf("got %s", got)
	}
}
