package main

import (
	"archive/tar"
	"compress/gzip"
	"encoding/json"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"lonja/test/compat"
)

// pack writes an archive of a data folder with its record, and returns its size.
func pack(archive, data string, record compat.Record) (size int64, err error) {
	if err := os.MkdirAll(filepath.Dir(archive), 0o755); err != nil {
		return 0, err
	}
	text, err := json.Marshal(record)
	if err != nil {
		return 0, err
	}
	file, err := os.Create(archive)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	zip, err := gzip.NewWriterLevel(file, gzip.BestCompression)
	if err != nil {
		return 0, err
	}
	into := tar.NewWriter(zip)
	if err := add(into, compat.RecordFile, text); err != nil {
		return 0, err
	}
	err = filepath.WalkDir(data, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		name, err := filepath.Rel(data, path)
		if err != nil {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return add(into, filepath.ToSlash(name), content)
	})
	for _, close := range []func() error{into.Close, zip.Close} {
		if err == nil {
			err = close()
		}
	}
	if err != nil {
		return 0, err
	}
	return file.Seek(0, io.SeekCurrent)
}

func add(into *tar.Writer, name string, content []byte) error {
	if err := into.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(content)), Typeflag: tar.TypeReg}); err != nil {
		return err
	}
	_, err := into.Write(content)
	return err
}
