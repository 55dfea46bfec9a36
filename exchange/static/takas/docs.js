// The API's reference: Swagger UI on our own description. It may read with the page's session; it
// sends nothing that changes anything, because its markets are real.
const place = document.getElementById("docs");

window.SwaggerUIBundle({
  domNode: place,
  url: place.dataset.schema,
  deepLinking: true,
  supportedSubmitMethods: ["get"],
  validatorUrl: null,
  defaultModelsExpandDepth: 0,
  syntaxHighlight: { activated: false }, // it colours by inline styles, which the policy refuses
});
