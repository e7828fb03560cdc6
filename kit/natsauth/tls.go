package natsauth

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

const (
	authorityLifetime   = 10 * 365 * 24 * time.Hour
	certificateLifetime = 365 * 24 * time.Hour
	// renewBefore is how long before its expiry a certificate is replaced.
	renewBefore = 30 * 24 * time.Hour
)

// pair is a certificate and its private key.
type pair struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// writeCertificates creates a certificate authority and a certificate for each
// server. It keeps those that exist, unless a server's certificate expires soon or
// is not signed by the authority. Clients require ca.pem.
func writeCertificates(dir, authorityName string, servers []string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	authority, err := loadPair(dir, "ca")
	if errors.Is(err, os.ErrNotExist) {
		authority, err = createPair(dir, "ca", &x509.Certificate{
			Subject: pkix.Name{CommonName: authorityName}, IsCA: true, BasicConstraintsValid: true,
			KeyUsage: x509.KeyUsageCertSign, NotAfter: time.Now().Add(authorityLifetime),
		}, nil)
	}
	if err != nil {
		return err
	}
	for _, name := range servers {
		if old, err := loadPair(dir, name); err == nil && time.Until(old.cert.NotAfter) > renewBefore && old.cert.CheckSignatureFrom(authority.cert) == nil {
			continue
		}
		// Clients may connect by the servers' common name, or from the same host.
		_, err := createPair(dir, name, &x509.Certificate{
			Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(certificateLifetime),
			DNSNames: []string{name, "nats", "localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
			KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		}, &authority)
		if err != nil {
			return err
		}
	}
	return nil
}

// createPair creates a key and its certificate, and writes both. The certificate
// is signed by issuer, or by itself if issuer is nil.
func createPair(dir, name string, template *x509.Certificate, issuer *pair) (p pair, err error) {
	if p.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return p, err
	}
	if issuer == nil {
		issuer = &pair{template, p.key}
	}
	if template.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127)); err != nil {
		return p, err
	}
	template.NotBefore = time.Now().Add(-time.Hour) // for clients whose clock is behind
	der, err := x509.CreateCertificate(rand.Reader, template, issuer.cert, &p.key.PublicKey, issuer.key)
	if err != nil {
		return p, err
	}
	if p.cert, err = x509.ParseCertificate(der); err != nil {
		return p, err
	}
	key, err := x509.MarshalPKCS8PrivateKey(p.key)
	if err != nil {
		return p, err
	}
	// The key comes first: a certificate without one would pass for a complete pair.
	return p, errors.Join(
		replaceFile(filepath.Join(dir, name+"-key.pem"), 0o600, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})),
		replaceFile(filepath.Join(dir, name+".pem"), 0o644, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
}

// loadPair reads a pair. The error is fs.ErrNotExist if a file is missing.
func loadPair(dir, name string) (p pair, err error) {
	der, err := loadPEM(filepath.Join(dir, name+".pem"))
	if err != nil {
		return p, err
	}
	if p.cert, err = x509.ParseCertificate(der); err != nil {
		return p, err
	}
	if der, err = loadPEM(filepath.Join(dir, name+"-key.pem")); err != nil {
		return p, err
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return p, err
	}
	var ok bool
	if p.key, ok = key.(*ecdsa.PrivateKey); !ok {
		return p, fmt.Errorf("%s-key.pem does not hold an ECDSA key", name)
	}
	return p, nil
}

func loadPEM(path string) ([]byte, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, fmt.Errorf("%s is not PEM", path)
	}
	return block.Bytes, nil
}
