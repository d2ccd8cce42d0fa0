/** Every variable; the table of `docs/configuration.md` is written from this list. */

/** One variable: its default, what it may be, and what it is for. */
export interface Setting {
  readonly name: string;
  readonly fallback: string;
  readonly expected: string;
  readonly purpose: string;
}

const CASSANDRA_FORM = 'cassandra://HOST:PORT,HOST/KEYSPACE?dc=NAME&replication=3&tls=CA.pem';
const KAFKA_FORM =
  'kafka://HOST:PORT,HOST:PORT?prefix=lethe&partitions=12&replication=3&tls=CA.pem';
const AWS_KMS_FORM = 'aws-kms:REGION?pending-days=7&endpoint=URL';

/** Every variable that is read, in the order of that table. */
export const settings: readonly Setting[] = [
  {
    name: 'LETHE_LOG',
    fallback: 'sqlite:./data/lethe.db',
    expected: `sqlite:FILE, or ${KAFKA_FORM}`,
    purpose: 'the log of sealed events',
  },
  {
    name: 'LETHE_VIEWS',
    fallback: 'sqlite:./data/views.db',
    expected: `sqlite:FILE, or ${CASSANDRA_FORM}`,
    purpose: 'the views that readers are served from',
  },
  {
    name: 'LETHE_VAULT',
    fallback: 'sqlite:./data/vault.db',
    expected: `sqlite:FILE, or ${CASSANDRA_FORM}`,
    purpose: 'wrapped rings and the directory',
  },
  {
    name: 'LETHE_STATE',
    fallback: 'sqlite:./data/lethe.db',
    expected: `sqlite:FILE (the file of LETHE_LOG, if that is one), or ${CASSANDRA_FORM}`,
    purpose: 'access keys, delivery ledger, requests, clock mark',
  },
  {
    name: 'LETHE_KMS',
    fallback: 'local:./keys',
    expected: `local:FOLDER, outside the folders of the other files, or ${AWS_KMS_FORM}`,
    purpose: 'the key at the root of the vault; keep a copy of it elsewhere',
  },
  {
    name: 'LETHE_KMS_PASSPHRASE',
    fallback: '',
    expected: 'text; empty: the key file is protected by its mode 0600 alone',
    purpose: 'protects the key file of LETHE_KMS',
  },
  {
    name: 'LETHE_SIGNING_KEYS',
    fallback: '',
    expected: 'a folder outside the data; empty: that of LETHE_KMS, or ./keys',
    purpose: 'holds the key that signs certificates',
  },
  {
    name: 'LETHE_CACHE',
    fallback: 'memory:16mb',
    expected:
      'memory:Nmb in each process (0mb: none), or redis://HOST:PORT?prefix=lethe&tls=CA.pem',
    purpose: 'keeps hot pages of the views, sealed as they are there',
  },
  {
    name: 'LETHE_HTTP',
    fallback: '127.0.0.1:8080',
    expected: 'HOST:PORT; port 0 takes a free one',
    purpose: 'where the server listens',
  },
  {
    name: 'LETHE_HTTP_TLS',
    fallback: 'off',
    expected: 'off, or cert=FILE.pem&key=FILE.pem: the certificate with its chain, and its key',
    purpose: 'lets the server speak HTTPS alone; read at start',
  },
  {
    name: 'LETHE_HTTP_URL',
    fallback: '',
    expected:
      'http(s)://HOST:PORT of this very process, not of a balancer; empty: as LETHE_HTTP says, ' +
      'and nothing where that is 0.0.0.0 or [::]',
    purpose: 'where other services reach this one, so that erasures can be attacked there',
  },
  {
    name: 'LETHE_INSECURE',
    fallback: '',
    expected: 'empty: refused, or 1: allowed, where the network itself is trusted',
    purpose: 'whether HTTP and engines may be used beyond this machine without TLS',
  },
  {
    name: 'LETHE_BODY_BYTES_MAX',
    fallback: '10485760',
    expected: 'a whole number from 1024 to 104857600',
    purpose: 'largest body that the server takes',
  },
  {
    name: 'LETHE_HORIZON_DAYS',
    fallback: '30',
    expected: 'a whole number from 1 to 400',
    purpose: 'how long a delivery is remembered, so that its redelivery is known',
  },
  {
    name: 'LETHE_BACKUPS',
    fallback: '',
    expected:
      'a folder outside those of the other files and of LETHE_KMS; empty: backups, beside the ' +
      'folder of an embedded vault, else in the current folder',
    purpose: 'where turns keep their backups',
  },
  {
    name: 'LETHE_ERASURES',
    fallback: '',
    expected:
      'a folder outside those of the other files; keep a copy of it elsewhere; empty: erasures, ' +
      'beside the folder of an embedded vault, else in the current folder',
    purpose: 'the list of what was erased, by random ids, that a restore applies',
  },
  {
    name: 'LETHE_CERTIFICATES',
    fallback: '',
    expected:
      'a folder; empty: certificates, beside the folder of an embedded vault, else in the ' +
      'current folder',
    purpose: 'where certificates of erasures are kept, with the public key that checks them',
  },
  {
    name: 'LETHE_LEASE_MS',
    fallback: '5000',
    expected: 'a whole number from 1000 to 60000',
    purpose: 'how long a process may use keys without hearing what was erased',
  },
  {
    name: 'LETHE_ANSWER_MS',
    fallback: '60000',
    expected: 'a whole number from 1000 to 3600000',
    purpose: 'how long a client may take for an answer; then its connection is reset',
  },
  {
    name: 'LETHE_TURN_SCHEDULE',
    fallback: 'off',
    expected: 'off, or every Nh or every Nd: hours or days, from 1h to 365d',
    purpose: 'how often the privacy service turns the epoch, if anything was erased since',
  },
  {
    name: 'LETHE_TOKENS_WITHOUT_EXP',
    fallback: 'refused',
    expected: 'refused or allowed',
    purpose: 'whether a token may have no end (claim exp) of its own',
  },
  {
    name: 'LETHE_LOG_LEVEL',
    fallback: 'info',
    expected: 'silent, error, warn, info or debug',
    purpose: 'how much the server logs (never content or names)',
  },
];
