/** A second listener of a Kafka node that asks for TLS and a login (PLAIN, SCRAM), for tests. */
import { STORE_PASSWORD } from './certificates.ts';

/** A user that the listener knows. */
export interface KafkaLogin {
  readonly username: string;
  readonly password: string;
}

/** The settings of the listener, beside those of the open one. */
export function loginProperties(
  { username, password }: KafkaLogin,
  keyStore: string,
): Record<string, string> {
  const modules = 'org.apache.kafka.common.security';
  const plain = `${modules}.plain.PlainLoginModule required user_${username}="${password}";`;
  const scram = `${modules}.scram.ScramLoginModule required;`;
  return {
    'ssl.keystore.location': keyStore,
    'ssl.keystore.password': STORE_PASSWORD,
    'ssl.keystore.type': 'PKCS12',
    'sasl.enabled.mechanisms': 'PLAIN,SCRAM-SHA-256,SCRAM-SHA-512',
    'listener.name.sasl_ssl.plain.sasl.jaas.config': plain,
    'listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config': scram,
    'listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config': scram,
  };
}

/** What makes the user known when the cluster is formatted. */
export function scramArguments({ username, password }: KafkaLogin): string[] {
  return ['SCRAM-SHA-256', 'SCRAM-SHA-512'].flatMap((mechanism) => {
    return ['--add-scram', `${mechanism}=[name=${username},password=${password}]`];
  });
}
